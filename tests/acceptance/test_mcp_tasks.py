"""Tasks as processes die: a killed worker or front end loses no task, and no task ends twice."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from typing import Any

import httpx2
import psutil
import pytest

from tests.acceptance.conftest import Platform
from tests.acceptance.front import redis_of
from tests.acceptance.node import TOOLS
from tests.conftest import wait_until
from tests.mcp_server.wire import Wire

SLOW = {"seconds": 2.0, "label": "once"}


@pytest.fixture(scope="module")
def slow_platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """One with tools that take their time."""
    made = Platform.at(tmp_path_factory.mktemp("tasks") / "home", LTMC_TOOLS=str(TOOLS[0]))
    made.workers("start", "--detach")
    yield made
    made.workers("stop")


async def begun(wire: Wire, platform: Platform) -> str:
    """The id of a task whose job runs."""
    task_id = str((await wire.call("slow_compute", SLOW))["taskId"])
    with redis_of(platform) as redis:
        await asyncio.to_thread(wait_until, lambda: redis.hget(f"rq:job:{task_id}", "status") == b"started")
    return task_id


async def ended(wire: Wire, task_id: str) -> dict[str, Any]:
    """The task when it has ended; the front end may be away meanwhile."""
    async with asyncio.timeout(40):
        while True:
            try:
                task = await wire.result("tasks/get", {"taskId": task_id})
                if task["status"] not in ("working", "input_required"):
                    return task
            except (httpx2.HTTPError, ValueError):
                pass
            await asyncio.sleep(0.2)


async def test_a_killed_worker_loses_no_task(slow_platform: Platform) -> None:
    """T08: its job runs again, and ends once."""
    wire = Wire(slow_platform.url)
    task_id = await begun(wire, slow_platform)
    with redis_of(slow_platform) as redis:
        worker = (redis.hget(f"rq:job:{task_id}", "worker_name") or b"").decode()
        pid = int(redis.hget(f"rq:worker:{worker}", "pid") or 0)
        os.kill(pid, signal.SIGKILL)
        task = await ended(wire, task_id)
        assert (task["status"], task["result"]["content"][0]["text"]) == ("completed", "computed once")
        kept: Any = redis.xrange(f"rq:results:{task_id}")
        assert [entry[b"type"] for _, entry in kept] == [b"1"]


async def test_a_killed_front_end_loses_no_task(slow_platform: Platform) -> None:
    """The task goes on meanwhile, and the next front end tells of it."""
    wire = Wire(slow_platform.url)
    task_id = await begun(wire, slow_platform)
    port = int(slow_platform.env["HTTP_PORT"])
    listening = [one.pid for one in psutil.net_connections("tcp") if one.laddr.port == port and one.status == "LISTEN"]
    os.kill(next(pid for pid in listening if pid), signal.SIGKILL)
    assert (await ended(wire, task_id))["status"] == "completed"


async def test_a_busy_worker_delays_no_answer(slow_platform: Platform) -> None:
    """Work in workers moves nothing in the front end: tasks/get answers as fast as ever."""
    wire = Wire(slow_platform.url)
    task_id = await begun(wire, slow_platform)
    loop = asyncio.get_running_loop()
    took = []
    for _ in range(10):
        before = loop.time()
        await wire.result("tasks/get", {"taskId": task_id})
        took.append(loop.time() - before)
    assert sorted(took)[5] < 0.25
    await wire.result("tasks/cancel", {"taskId": task_id})
