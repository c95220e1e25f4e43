"""What a call answers when many wait, and when Redis goes or refuses while they do."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
import redis

from ltmc_jobs.client import Client, Session
from ltmc_jobs.errors import QueueUnavailable
from ltmc_jobs.queues.queue import reached
from ltmc_jobs.settings import Settings
from ltmc_jobs.shared import Shared
from tests.conftest import MakeSettings, free_port, wait_until
from tests.fleet import open_installation
from workers.server import EmbeddedServer

NOTE = {"file_name": "note.md", "content": "A note."}
SESSION = Session("default")


@pytest.fixture
def shared(settings: Settings) -> Iterator[Shared]:
    opened = open_installation(settings)
    yield opened
    opened.close()


def test_150_callers_wait_at_once(shared: Shared) -> None:
    """Each holds a connection; none is turned away."""
    shared.heartbeats.beat("somebody", ["default"])

    async def call_many() -> list[str | None]:
        client = Client(shared)
        answers = await asyncio.gather(
            *(client.call("store_memory", NOTE, SESSION, wait_seconds=3) for _ in range(150))
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
    shared.heartbeats.beat("somebody", ["default"])

    async def call() -> tuple[str | None, str | None]:
        waiting = asyncio.create_task(Client(shared).call("store_memory", NOTE, SESSION, wait_seconds=20))
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
