"""The MCP server in this process, over a real server and a real worker process: both wire eras, stdio's and HTTP's.

T05, T06, T11: what a host sees, and what never leaves. tests/acceptance/test_mcp.py drives the same as processes.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path
from secrets import token_hex
from typing import Any

import mcp_types as types
import pytest
import structlog
from jsonschema import Draft202012Validator
from mcp import Client as McpClient
from mcp import MCPError

from api.mcp import answers, relay
from api.mcp.listing import INSTRUCTIONS
from api.mcp.server import build
from ltmc_jobs import registry
from ltmc_jobs.client import Client
from ltmc_jobs.settings import Settings
from ltmc_jobs.shared import Shared
from tests.conftest import build_settings, free_port
from tests.mcp_server.conftest import error_of, text_of

LEAKS = re.compile(r"Traceback|SELECT|/srv/|redis://|127\.0\.0\.1:\d|File \"")


async def test_lists_every_tool_with_the_enforced_schema(host: McpClient) -> None:
    """T03: each with words, hints and schemas; the input schema is the very one that calls are checked against."""
    listing = await host.list_tools()
    assert [tool.name for tool in listing.tools] == [form.name for form in registry.forms()]
    for tool, form in zip(listing.tools, registry.forms(), strict=True):
        assert tool.input_schema == form.input_schema
        assert tool.description == form.description
        assert tool.title
        assert tool.annotations is not None
        assert tool.annotations.read_only_hint is form.reads_only
        assert tool.output_schema is not None
        assert tool.output_schema["type"] == "object"
        Draft202012Validator.check_schema(tool.output_schema)
        assert re.fullmatch(r"[a-z0-9_]{1,40}", tool.name)


async def test_says_who_it_is_and_how_to_use_it(host: McpClient) -> None:
    assert host.instructions == INSTRUCTIONS
    assert len(INSTRUCTIONS.encode()) <= 2048
    assert host.server_capabilities.tools is not None
    for name in re.findall(r"\b(?:store|retrieve|job)_\w+", INSTRUCTIONS):
        assert name == "job_id" or registry.find(name)


async def test_a_list_may_be_kept(client: Client, served: Settings) -> None:
    async with McpClient(build(lambda: client, served)) as host:
        listing = await host.list_tools()
        assert (listing.ttl_ms, listing.cache_scope) == (60_000, "public")


async def test_a_call_answers_with_its_result(host: McpClient) -> None:
    result = await host.call_tool("say", {"text": "hé", "times": 2})
    assert not result.is_error
    said = result.structured_content
    assert said["success"] is True
    assert (said["text"], said["project"], said["principal"]) == ("héhé", "default", "stdio")
    assert json.loads(text_of(result)) == said
    assert result.meta is not None
    job = result.meta["ltmc/job"]
    assert (job["job_id"], job["status"], job["tool"]) == (said["job_id"], "finished", "say")


async def test_the_call_s_own_names_go_before_the_connection_s(host: McpClient) -> None:
    meta = {"ltmc/project": "other", "ltmc/agent": "ann", "ltmc/session": "s1"}
    said = (await host.call_tool("say", {"text": "x"}, meta=meta)).structured_content
    assert (said["project"], said["agent_id"], said["session_id"]) == ("other", "ann", "s1")


async def test_wait_zero_gives_the_handle_and_job_result_the_result(host: McpClient) -> None:
    """The client validates both against the output schema: it would raise on a handle that is not in it."""
    handle = await host.call_tool("say", {"text": "later"}, meta={"ltmc/wait": 0})
    assert not handle.is_error
    job_id = handle.structured_content["job"]["job_id"]
    assert "job_result" in handle.structured_content["job"]["next"]
    result = await host.call_tool("job_result", {"job_id": job_id})
    assert (result.structured_content["text"], result.structured_content["success"]) == ("later", True)


async def test_a_slow_call_answers_with_its_handle_when_the_wait_is_over(host: McpClient) -> None:
    handle = await host.call_tool("dawdle", {"seconds": 1.0}, meta={"ltmc/wait": 0.3})
    assert handle.structured_content["job"]["status"] in ("queued", "started")
    still = await host.call_tool("job_result", {"job_id": handle.structured_content["job_id"], "wait_seconds": 0})
    assert "job" in still.structured_content
    done = await host.call_tool("job_result", {"job_id": handle.structured_content["job_id"]})
    assert done.structured_content["text"] == "late"


async def test_every_question_fits_its_schema(host: McpClient) -> None:
    job_id = (await host.call_tool("say", {"text": "x"})).structured_content["job_id"]
    for name in ("job_status", "job_cancel", "job_result"):
        answer = await host.call_tool(name, {"job_id": job_id})
        assert answer.structured_content["job_id"] == job_id
        assert answer.meta is None or "ltmc/job" not in answer.meta
    listed = await host.call_tool("job_list", {"limit": 5})
    assert job_id in [job["job_id"] for job in listed.structured_content["jobs"]]


async def test_a_waiting_call_tells_its_progress(host: McpClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """At least every 10 s, or hosts give up; the numbers only grow, the words are the job's own."""
    assert relay.BEAT_SECONDS <= 10
    monkeypatch.setattr(relay, "BEAT_SECONDS", 0.1)
    told: list[tuple[float, str | None]] = []

    async def hear(progress: float, _total: float | None, message: str | None) -> None:
        told.append((progress, message))

    # In this process no wire carries the callback's token, which says that somebody listens.
    await host.call_tool("dawdle", {"seconds": 0.8}, progress_callback=hear, meta={"progressToken": "p"})
    assert len(told) >= 3
    assert [number for number, _ in told] == sorted({number for number, _ in told})
    assert (1, "half of it") in told
    assert "half of it, 1 s" in [words for _, words in told]
    heard = len(told)
    await asyncio.sleep(0.3)
    assert len(told) == heard


async def test_a_missing_argument_names_its_field_before_anything_is_enqueued(host: McpClient, client: Client) -> None:
    """T06."""
    before = await client.shared.async_queue.counts()
    result = await host.call_tool("say", {})
    error = error_of(result)
    assert (error["code"], error["details"]["field"], error["retry"]) == ("invalid_arguments", "text", False)
    assert "text is required" in text_of(result)
    assert await client.shared.async_queue.counts() == before


async def test_an_unknown_tool_is_a_protocol_error(host: McpClient) -> None:
    with pytest.raises(MCPError) as raised:
        await host.call_tool("forget_everything", {})
    assert raised.value.code == types.INVALID_PARAMS
    assert "forget_everything" in raised.value.message


@pytest.mark.parametrize(
    ("meta", "field"),
    [
        ({"ltmc/wait": "soon"}, "_meta.ltmc/wait"),
        ({"ltmc/wait": True}, "_meta.ltmc/wait"),
        ({"ltmc/wait": -1}, "_meta.ltmc/wait"),
        ({"ltmc/wait": 46}, "_meta.ltmc/wait"),
        ({"ltmc/project": "../x"}, "project"),
        ({"ltmc/project": ""}, "_meta.ltmc/project"),
        ({"ltmc/agent": 7}, "_meta.ltmc/agent"),
        ({"ltmc/session": "x" * 257}, "_meta.ltmc/session"),
        ({"ltmc/idempotencyKey": []}, "_meta.ltmc/idempotencyKey"),
    ],
)
async def test_a_wrong_meta_names_its_field(host: McpClient, meta: dict[str, Any], field: str) -> None:
    error = error_of(await host.call_tool("say", {"text": "x"}, meta=meta))
    assert (error["code"], error["details"]["field"]) == ("invalid_arguments", field)


async def test_a_job_s_error_reaches_the_model_with_an_id_that_the_log_has(host: McpClient) -> None:
    """T11."""
    with structlog.testing.capture_logs() as lines:
        error = error_of(result := await host.call_tool("refuse"))
    assert (error["code"], error["details"]) == ("conflict", {"state": "odd"})
    assert error["id"] in text_of(result)
    assert error["id"] in [line.get("request_id") for line in lines]


async def test_nothing_of_the_inside_leaves(host: McpClient, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """T11: neither from a job that stumbles nor from a fault in the front end itself."""
    stumbled = await host.call_tool("stumble")
    assert error_of(stumbled)["code"] == "job_failed"

    async def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("/srv/x redis://:pass@127.0.0.1:6381 SELECT")

    monkeypatch.setattr(client, "call", broken)
    with structlog.testing.capture_logs() as lines:
        broke = await host.call_tool("say", {"text": "x"})
    assert error_of(broke)["code"] == "error"
    assert error_of(broke)["id"] in [line.get("request_id") for line in lines]
    for result in (stumbled, broke):
        assert not LEAKS.search(result.model_dump_json())


async def test_a_server_that_is_away_is_an_error_worth_a_retry(tmp_path: Path) -> None:
    address = f"redis://127.0.0.1:{free_port()}/0"
    away = build_settings(tmp_path, REDIS_URL=address, LTMC_SIGNING_KEY=token_hex(32))
    shared = Shared.open(away)
    lost = Client(shared)
    async with McpClient(build(lambda: lost, away)) as host:
        result = await host.call_tool("say", {"text": "x"})
    await shared.aclose()
    assert error_of(result)["retry"] is True
    assert error_of(result)["code"] == "queue_unavailable"
    assert "tried again" in text_of(result)
    assert not LEAKS.search(result.model_dump_json())


async def test_one_key_is_one_job(host: McpClient) -> None:
    """A host whose answer was lost sends the call again: one job. Another call under that key is refused."""

    async def called(arguments: dict[str, Any], key: str, **meta: Any) -> types.CallToolResult:
        return await host.call_tool("say", arguments, meta={"ltmc/idempotencyKey": key, **meta})

    async def job(arguments: dict[str, Any], key: str, **meta: Any) -> str:
        return str((await called(arguments, key, **meta)).structured_content["job_id"])

    first = await job({"text": "x", "times": 2}, "k1")
    assert await job({"times": 2, "text": "x"}, "k1") == first
    others = [
        await job({"text": "x", "times": 2}, "k2"),
        await job({"text": "x", "times": 2}, "k1", **{"ltmc/project": "other"}),
    ]
    assert len({first, *others}) == 3
    refused = error_of(await called({"text": "y"}, "k1"))
    assert (refused["code"], refused["details"]["job_id"]) == ("conflict", first)
    assert "use another key" in refused["message"]
    assert await job({"text": "x", "times": 2}, "k1") == first, "what was refused left the job as it was"


async def test_a_long_text_is_cut_and_says_so(host: McpClient) -> None:
    """Hosts refuse more than about 25,000 tokens; the structured content stays whole."""
    result = await host.call_tool("say", {"text": "ü" * 100_000})
    assert len(result.structured_content["text"]) == 100_000
    kept, note = [part.text for part in result.content if isinstance(part, types.TextContent)]
    assert len(kept.encode()) <= answers.TEXT_LIMIT
    assert "structuredContent" in note


async def test_calls_run_side_by_side(host: McpClient) -> None:
    """The loop waits for no job: a question is answered while calls wait."""
    slow = asyncio.create_task(host.call_tool("dawdle", {"seconds": 1.0}))
    await asyncio.sleep(0.1)
    await asyncio.wait_for(host.call_tool("job_list", {}), 0.8)
    assert not slow.done()
    assert (await slow).structured_content["text"] == "late"


def test_build_needs_no_server(make_settings: Callable[..., Settings]) -> None:
    """The list of tools is there before any connection is."""
    assert build(lambda: pytest.fail("no client is needed"), make_settings()).name == "ltmc"
