"""The cache of results, from end to end over a server and a worker of its own: `python tests/test_redis_cache.py`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

if __name__ == "__main__":
    os.execv(sys.executable, [sys.executable, "-m", "pytest", "-v", str(Path(__file__).resolve())])

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from ltmc_jobs import keys
from ltmc_jobs.answer import Answer
from ltmc_jobs.client import Client
from ltmc_jobs.errors import StoreUnavailable
from ltmc_jobs.session import Session
from ltmc_jobs.shared import Shared
from tests.conftest import wait_until
from tests.fleet import WorkerProcesses

SESSION = Session("default")
NOTE = {"file_name": "bees.md", "content": "Bees dance to tell their sisters where the flowers are."}
ASKED = {"query": "How do bees tell the way?"}
# What is no entry, `{"job_id": …, "result": {…}}`.
PLANTED = [
    b"",
    b"{",
    b"\xff\xfe",
    b"[1, 2]",
    b"7",
    b'{"job_id": 5}',
    b'{"result": {}}',
    b'{"job_id": "1", "result": []}',
]

Call = Callable[..., Coroutine[Any, Any, Answer]]


@pytest.fixture
def fleet(shared: Shared) -> Iterator[WorkerProcesses]:
    """One worker for all that these calls need."""
    made = WorkerProcesses(shared.settings)
    made.start("default", "embedding", "vectors", "graph")
    wait_until(lambda: shared.heartbeats.live(["default"])["default"], 30, "a worker")
    yield made
    assert made.stop() == [0]


def during(shared: Shared, body: Callable[[Call], Coroutine[Any, Any, None]]) -> None:
    """Run with a way to call tools, in one event loop."""

    async def run() -> None:
        client = Client(shared)

        async def call(tool: str, arguments: dict[str, Any], session: Session = SESSION) -> Answer:
            answer = await client.call(tool, arguments, session, wait_seconds=30)
            assert answer.result is not None, answer
            return answer

        try:
            await body(call)
        finally:
            await shared.async_redis.aclose()

    asyncio.run(run())


def entries(shared: Shared) -> list[bytes]:
    found: Any = shared.redis.keys(f"{keys.key('default', 'cache')}:*")
    return list(found)


def jobs(shared: Shared) -> int:
    found: Any = shared.redis.keys("rq:job:????????-????-????-????-????????????")
    return len(found)


def test_j26_a_result_is_kept_until_the_memory_changes(shared: Shared, fleet: WorkerProcesses) -> None:
    """J26: asked again it costs no job, in another project or with other arguments it does; a change empties it."""

    async def body(call: Call) -> None:
        await call("store_memory", NOTE | {"wait_for": "linked"})
        first = await call("retrieve_memory", ASKED)
        assert not first.cached
        assert first.result["retrieved_chunks"][0]["content"] == NOTE["content"]  # type: ignore[index]
        before = jobs(shared)
        again = await call("retrieve_memory", ASKED)
        assert (again.cached, again.job_id, again.result) == (True, first.job_id, first.result)
        assert jobs(shared) == before
        assert not (await call("retrieve_memory", ASKED | {"top_k": 1})).cached
        elsewhere = await call("retrieve_memory", ASKED, Session("elsewhere"))
        assert (elsewhere.cached, elsewhere.result["total_results"]) == (False, 0)  # type: ignore[index]
        await call("store_memory", NOTE | {"content": "Bees sleep.", "wait_for": "linked"})
        changed = await call("retrieve_memory", ASKED)
        assert not changed.cached
        assert changed.result["retrieved_chunks"][0]["content"] == "Bees sleep."  # type: ignore[index]

    during(shared, body)
    assert all(0 < shared.redis.ttl(name) <= shared.settings.cache_ttl_seconds for name in entries(shared))


def test_j26_a_planted_entry_that_is_none_is_a_miss(shared: Shared, fleet: WorkerProcesses) -> None:
    """J26: what is no entry is not believed, does not fail the call, and is replaced by the right one."""

    async def body(call: Call) -> None:
        first = await call("retrieve_memory", ASKED)
        (name,) = entries(shared)
        for planted in PLANTED:
            kept = shared.redis.get(name)
            shared.redis.set(name, planted, keepttl=True)
            again = await call("retrieve_memory", ASKED)
            assert (again.cached, again.result) == (False, first.result), planted
            assert shared.redis.get(name) not in (planted, kept)  # it is of another job
            assert (await call("retrieve_memory", ASKED)).cached

    during(shared, body)


def test_j26_a_planted_failure_is_not_kept(shared: Shared, fleet: WorkerProcesses) -> None:
    """J26: a search that fails, since the memory's file is gone, leaves nothing behind; later the same one succeeds."""

    async def body(call: Call) -> None:
        await call("store_memory", NOTE | {"wait_for": "linked"})
        file, aside = shared.settings.records_file, shared.settings.home / "aside"
        file.rename(aside)
        with pytest.raises(StoreUnavailable):
            await call("retrieve_memory", ASKED)
        assert entries(shared) == []
        aside.rename(file)
        answer = await call("retrieve_memory", ASKED)
        assert not answer.cached
        assert answer.result["total_results"] == 1  # type: ignore[index]

    during(shared, body)
