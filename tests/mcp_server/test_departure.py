"""T08: a client that goes away while it is waited for, and a front end that ends: what becomes of the job."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest
from mcp import Client as McpClient

from ltmc_jobs.client import Client
from ltmc_jobs.queues.contract import JobStatus
from ltmc_jobs.queues.wanted import Wanted
from tests.mcp_server.wire import MODERN, OLD, Wire

FINISHED, STOPPED = JobStatus.FINISHED, JobStatus.STOPPED


async def newest(client: Client, tool: str) -> str:
    """The id of the newest job of a tool that runs."""
    for _ in range(100):
        found = await client.shared.async_queue.list(Wanted(tool=tool, status="started"))
        if found:
            return found[0].id
        await asyncio.sleep(0.02)
    raise AssertionError(f"no {tool} runs")


@pytest.mark.parametrize(
    ("era", "tool", "key", "ended"),
    [
        (MODERN, "dawdle", "", STOPPED),
        (MODERN, "meddle", "", FINISHED),
        (MODERN, "dawdle", "come-again", FINISHED),
        (OLD, "dawdle", "", FINISHED),
        (OLD, "meddle", "", FINISHED),
    ],
)
async def test_a_broken_connection(
    over_http: str, client: Client, era: str, tool: str, key: str, ended: JobStatus
) -> None:
    """T08: of a reading tool's job it is the end, within a second; not of one that changes, nor before 2026-07-28."""
    wire = Wire(over_http, era, capabilities={})
    params = {"name": tool, "arguments": {"seconds": 0.7}}
    if key:
        params["_meta"] = {"ltmc/idempotencyKey": key}
    asking = asyncio.create_task(wire.ask("tools/call", params))
    job_id = await newest(client, tool)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    left = time.monotonic()
    outcome = await client.shared.async_queue.outcome(job_id, 5)
    assert outcome.status == ended
    assert ended != STOPPED or time.monotonic() - left < 1.0


@pytest.mark.parametrize(("tool", "ended"), [("dawdle", STOPPED), ("meddle", FINISHED)])
async def test_a_cancelled_request(host: McpClient, client: Client, tool: str, ended: JobStatus) -> None:
    """T08: notifications/cancelled, as over stdio, in both eras."""
    asking = asyncio.create_task(host.call_tool(tool, {"seconds": 0.7}))
    job_id = await newest(client, tool)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    left = time.monotonic()
    assert (await client.shared.async_queue.outcome(job_id, 5)).status == ended
    assert ended != STOPPED or time.monotonic() - left < 1.0


async def test_a_job_that_another_has_joined_goes_on(over_http: str, client: Client) -> None:
    """One of two callers leaves: the other has its answer."""
    wire = Wire(over_http, capabilities={})
    busy = asyncio.create_task(wire.call("meddle", {"seconds": 0.6}))
    await newest(client, "meddle")
    same = {"name": "dawdle", "arguments": {"seconds": 0.4}}
    first = asyncio.create_task(wire.ask("tools/call", same))
    await asyncio.sleep(0.1)
    second = asyncio.create_task(wire.result("tools/call", same))
    await asyncio.sleep(0.1)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert (await second)["structuredContent"]["text"] == "late"
    await busy


async def test_a_front_end_that_ends_gives_handles_and_cancels_nothing(
    over_http: str, client: Client, end_front_end: Callable[[], None]
) -> None:
    """Who waits has the handle at once, a stream of subscriptions ends in order, and the job goes on."""
    wire = Wire(over_http, capabilities={})
    listening = asyncio.create_task(wire.ask("subscriptions/listen", {"notifications": {"toolsListChanged": True}}))
    asking = asyncio.create_task(wire.call("dawdle", {"seconds": 1.0}))
    job_id = await newest(client, "dawdle")
    began = time.monotonic()
    end_front_end()
    handle = (await asking)["structuredContent"]["job"]
    assert (handle["job_id"], handle["status"]) == (job_id, "started")
    assert "result" in await listening
    assert time.monotonic() - began < 0.5
    blocking = client.shared.queue
    assert (await asyncio.to_thread(blocking.outcome, job_id, 5)).status == FINISHED
