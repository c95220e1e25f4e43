"""What a call may say of its job: the queue that it waits in, how long its result is kept; and calls sent again."""

from __future__ import annotations

import asyncio
from secrets import token_hex

import pytest
from mcp import Client as McpClient

from ltmc_jobs.client import Client
from tests.mcp_server.conftest import error_of
from tests.mcp_server.wire import Wire


async def test_priority_and_life_of_a_job(host: McpClient, client: Client) -> None:
    meta = {"ltmc/priority": "high", "ltmc/ttlMs": 90_500}
    said = (await host.call_tool("say", {"text": "now"}, meta=meta)).structured_content
    info = await client.shared.async_queue.status(said["job_id"])
    assert (info.queue, info.kept_seconds) == ("high", 91)
    assert 80 < await client.shared.async_redis.ttl(f"rq:job:{said['job_id']}") <= 91
    usual = await client.shared.async_queue.status(
        (await host.call_tool("say", {"text": "then"})).structured_content["job_id"]
    )
    assert (usual.queue, usual.kept_seconds) == ("default", 3600)


@pytest.mark.parametrize(
    ("name", "value"),
    [("priority", "vectors"), ("priority", 1), ("ttlMs", 0), ("ttlMs", True), ("ttlMs", 1.5), ("ttlMs", 10**12)],
)
async def test_a_wrong_wish_names_its_field(host: McpClient, name: str, value: object) -> None:
    error = error_of(await host.call_tool("say", {"text": "x"}, meta={f"ltmc/{name}": value}))
    assert (error["code"], error["details"]["field"]) == ("invalid_arguments", f"_meta.ltmc/{name}")


async def test_the_same_call_again_joins_its_job(over_http: str) -> None:
    """A reading tool that is not cached joins a job that has not begun; what has begun may have read too early."""
    wire = Wire(over_http, capabilities={})
    busy = asyncio.create_task(wire.call("meddle", {"seconds": 0.5}))
    await asyncio.sleep(0.2)
    same = [wire.call("say", {"text": "again", "times": 1}) for _ in range(3)]
    agent = wire.call("say", {"text": "again", "times": 1}, agent="ann")
    *alike, own = await asyncio.gather(*same, agent)
    assert len({one["structuredContent"]["job_id"] for one in alike}) == 1
    assert own["structuredContent"]["job_id"] != alike[0]["structuredContent"]["job_id"]
    later = await wire.call("say", {"text": "again", "times": 1})
    assert later["structuredContent"]["job_id"] != alike[0]["structuredContent"]["job_id"]
    await busy


async def test_what_changes_something_is_never_joined(over_http: str) -> None:
    wire = Wire(over_http, capabilities={})
    two = await asyncio.gather(*(wire.call("meddle", {"seconds": 0.1}) for _ in range(2)))
    assert len({one["structuredContent"]["job_id"] for one in two}) == 2


async def test_no_step_is_lost_and_numbers_grow(over_http: str) -> None:
    """Each step of the job, in order, though they come faster than anybody could ask for them; then its lines."""
    wire = Wire(over_http, capabilities={})
    params = {"name": "count_up", "arguments": {"steps": 300}}
    params["_meta"] = {"progressToken": "p", "io.modelcontextprotocol/logLevel": "info"}
    async with wire.asked("tools/call", params) as messages:
        heard = [message async for message in messages]
    told = [message["params"] for message in heard if message.get("method") == "notifications/progress"]
    assert [(step["progress"], step["message"]) for step in told] == [(n, f"step {n}") for n in range(1, 301)]
    lines = [message["params"]["data"] for message in heard if message.get("method") == "notifications/message"]
    assert lines == ["counted"]
    assert heard[-1]["result"]["structuredContent"]["text"] == "counted"


async def test_the_list_of_jobs_goes_on_where_a_page_ended(host: McpClient) -> None:
    pages = {"ltmc/project": f"pages-{token_hex(4)}"}
    made = []
    for number in range(5):
        said = await host.call_tool("say", {"text": f"page {number}"}, meta=pages)
        made.append(said.structured_content["job_id"])
    await host.call_tool("dawdle", {"seconds": 0}, meta=pages)
    found, cursor = [], None
    for _ in range(3):
        asked = {"tool": "say", "limit": 2} | ({"cursor": cursor} if cursor else {})
        page = (await host.call_tool("job_list", asked, meta=pages)).structured_content
        found += [job["job_id"] for job in page["jobs"]]
        cursor = page.get("next_cursor")
    assert found[:5] == made[::-1][:5]
    assert cursor is None
    assert error_of(await host.call_tool("job_list", {"cursor": "x"}))["details"] == {"field": "cursor"}
