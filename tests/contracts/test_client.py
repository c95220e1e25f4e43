"""What a call answers when many wait, and when Redis goes or refuses while they do."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import redis

from api.health import Health
from ltmc_jobs import keys
from ltmc_jobs.client import Client
from ltmc_jobs.errors import Conflict, QueueUnavailable
from ltmc_jobs.orchestration.cache_index import ENTRIES
from ltmc_jobs.orchestration.tool_cache import ENTRY_BYTES
from ltmc_jobs.queues.claims import Claims
from ltmc_jobs.queues.contract import JobSpec, JobStatus
from ltmc_jobs.queues.queue import reached
from ltmc_jobs.registry import Tool, find, kind
from ltmc_jobs.session import Session
from ltmc_jobs.settings import Settings
from ltmc_jobs.shared import Shared
from tests import queue_kinds as kinds
from tests.conftest import MakeSettings, free_port, wait_until
from tests.fleet import WorkerProcesses, open_installation
from workers.server import EmbeddedServer

NOTE = {"file_name": "note.md", "content": "A note."}
SESSION = Session("default")


def test_150_callers_wait_at_once(shared: Shared) -> None:
    """Each holds a connection; none is turned away."""
    Claims(shared.redis, "somebody", ["default"], {"queues": "default"}).renew()

    async def call_many() -> list[str | None]:
        client = Client(shared)
        answers = await asyncio.gather(
            *(
                client.call("store_memory", NOTE | {"file_name": f"{number}.md"}, SESSION, wait_seconds=3)
                for number in range(150)
            )
        )
        await shared.async_redis.aclose()
        return [answer.reason for answer in answers]

    assert asyncio.run(call_many()) == ["it still runs; the wait is over"] * 150
    assert shared.redis.llen("rq:queue:default") == 150


def test_a_wait_that_fails_leaves_the_handle(make_settings: MakeSettings) -> None:
    settings = make_settings(REDIS_PORT=free_port())
    server = EmbeddedServer(settings)
    server.start()
    shared = open_installation(settings)
    Claims(shared.redis, "somebody", ["default"], {"queues": "default"}).renew()

    async def call() -> tuple[str | None, str | None]:
        waiting = asyncio.create_task(Client(shared).call("store_memory", NOTE, SESSION, wait_seconds=5))
        await asyncio.to_thread(wait_until, lambda: shared.redis.llen("rq:queue:default"))
        await asyncio.to_thread(server.stop)
        answer = await waiting
        await shared.async_redis.aclose()
        return answer.job_id, answer.reason

    job_id, reason = asyncio.run(call())
    shared.close()
    assert job_id
    assert "enqueued" in (reason or "")
    assert "cannot be reached" in (reason or "")


@pytest.mark.parametrize("in_pipeline", [False, True])
@pytest.mark.parametrize(
    ("option", "value", "words"),
    [("maxmemory", "1", "memory is full"), ("min-replicas-to-write", "1", "too few of its replicas")],
)
def test_a_server_that_refuses_writes_says_why(
    shared: Shared, option: str, value: str, words: str, in_pipeline: bool
) -> None:
    before = shared.redis.config_get(option)[option]
    shared.redis.config_set(option, value)
    try:
        with pytest.raises(QueueUnavailable, match=words):
            reached(write, shared.redis, in_pipeline)
    finally:
        shared.redis.config_set(option, before)


def write(connection: redis.Redis, in_pipeline: bool) -> None:
    if not in_pipeline:
        connection.set("rq:test", "x")
        return
    pipeline = connection.pipeline()
    pipeline.set("rq:test", "x")
    pipeline.execute()


def test_a_mistake_of_ours_stays_one(shared: Shared) -> None:
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        reached(lambda: (shared.redis.set("rq:test", "x"), shared.redis.lpush("rq:test", "x")))


def test_a_job_that_changed_something_and_failed_empties_the_cache(shared: Shared, settings: Settings) -> None:
    fleet = WorkerProcesses(settings)
    fleet.start("default")
    spec = JobSpec(kind=kinds.CHANGE_AND_FAIL, args={}, project="default")
    shared.queue.enqueue(spec)
    with pytest.raises(Conflict):
        shared.queue.outcome(spec.id, 20).unwrap()
    fleet.stop()
    assert shared.redis.get(keys.key("default", "topic", "memory")) == b"1"


def test_the_cache_of_a_project_is_bounded(shared: Shared) -> None:
    tool = find("retrieve_memory")
    assert isinstance(tool, Tool)
    names = [keys.key("default", "cache", "retrieve_memory", str(n), "0") for n in range(ENTRIES + 5)]
    for name in names:
        shared.cache.fill(tool, name, "job", {"some": "result"})
    assert shared.redis.exists(*names) == ENTRIES
    assert shared.redis.exists(names[-1])
    assert shared.redis.zcard(keys.key("default", "cached", "queries")) == ENTRIES
    huge = keys.key("default", "cache", "retrieve_memory", "huge", "0")
    shared.cache.fill(tool, huge, "job", {"some": "x" * ENTRY_BYTES})
    assert not shared.redis.exists(huge)


def test_finished_jobs_can_be_forgotten_and_no_others(shared: Shared, settings: Settings) -> None:
    done, waiting = (JobSpec(kind=kind, args={}, project="default") for kind in (kinds.ECHO, kinds.ECHO_LOW))
    fleet = WorkerProcesses(settings)
    fleet.start("default")
    shared.queue.enqueue_many([done, waiting])
    shared.queue.outcome(done.id, 20).unwrap()
    fleet.stop()
    assert shared.queue.forget([done.id, waiting.id, "unknown"]) == 1
    assert shared.queue.status(waiting.id).status == JobStatus.QUEUED
    assert not [name for name in shared.redis.scan_iter("rq:*") if done.id in name.decode()]
    assert shared.redis.zcard("rq:finished:default") == 0


def test_the_result_of_a_search_is_kept_for_five_minutes() -> None:
    """J15."""
    assert (kind("retrieve_memory").result_ttl_seconds, kind("store_memory").result_ttl_seconds) == (300, 3600)


def test_health_tells_a_full_redis_from_ill_stores(shared: Shared) -> None:
    """T13: unhealthy, with the reason; healthy again when there is room."""

    async def redis_component() -> dict[str, Any]:
        health = Health(shared.settings)
        found = await health.look()
        health.close()
        part: dict[str, Any] = found["components"]["redis"]
        return part | {"whole": found["status"]}

    assert asyncio.run(redis_component())["status"] == "healthy"
    before = shared.redis.config_get("maxmemory")["maxmemory"]
    shared.redis.config_set("maxmemory", "1")
    try:
        full = asyncio.run(redis_component())
    finally:
        shared.redis.config_set("maxmemory", before)
    assert (full["status"], full["whole"]) == ("unhealthy", "unhealthy")
    assert "refuses writes: its memory is full" in full["error"]
    assert asyncio.run(redis_component())["status"] == "healthy"
