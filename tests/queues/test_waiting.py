"""Waiting for ends: a thousand at once over few connections, without polling, through lost connections."""

from __future__ import annotations

import asyncio
import select
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from ltmc_jobs.errors import NotFound
from ltmc_jobs.keys import PREFIX
from ltmc_jobs.queues.contract import JobSpec, JobStatus, new_job_id
from ltmc_jobs.queues.queue import JobQueue
from ltmc_jobs.queues.wake import WakeCall
from ltmc_jobs.settings import Settings
from ltmc_jobs.shared import Shared
from tests.chaos.proxy import Proxy
from tests.fleet import open_installation
from tests.queues import kinds
from tests.queues.conftest import Fleet
from workers.server import EmbeddedServer

WAIT = 60.0
MANY = 1000


def notes(count: int, file: Path | str = "/dev/null", seconds: float = 0.0, **options: Any) -> list[JobSpec]:
    return [
        JobSpec(
            kind=kinds.NOTE, args={"file": str(file), "line": str(n), "seconds": seconds}, project="default", **options
        )
        for n in range(count)
    ]


def commands(shared: Shared) -> int:
    """All that were sent; what a script asks of the server itself does not travel."""
    told: Any = shared.redis.info("commandstats")
    return sum(int(shown["calls"]) for name, shown in told.items() if name != "cmdstat_hmget")


def connections(shared: Shared) -> int:
    return len(shared.redis.client_list())


@pytest.mark.parametrize("own", [True, False], ids=["enqueued here", "enqueued elsewhere"])
def test_a_thousand_waiters_share_a_few_connections(jobs: JobQueue, shared: Shared, fleet: Fleet, own: bool) -> None:
    """J14, Y08: nothing is asked while they wait, and each is woken as its job ends."""
    specs = notes(MANY)

    async def wait() -> None:
        queue = shared.async_queue
        jobs.pause("default", "a test")
        if own:
            await queue.enqueue_many(specs)
        else:
            await asyncio.to_thread(jobs.enqueue_many, specs)
        before = connections(shared)
        waiting = [asyncio.create_task(queue.outcome(spec.id, WAIT)) for spec in specs]
        await asyncio.sleep(1.5)
        assert connections(shared) - before <= 8, "one to listen, a few to ask"
        asked = commands(shared)
        await asyncio.sleep(3.0)
        assert commands(shared) - asked < 60, "the waiters, this test and an idle server's own"
        fleet.start("default")
        jobs.resume("default")
        for spec, done in zip(specs, await asyncio.gather(*waiting), strict=True):
            assert done.unwrap() == spec.args["line"]
        await shared.async_redis.aclose()

    asyncio.run(wait())


def test_waiters_hear_soon_after_the_end(shared: Shared, fleet: Fleet) -> None:
    """J14: within milliseconds, at the median."""
    fleet.start("default")

    async def measure() -> list[float]:
        queue, late = shared.async_queue, []
        for spec in notes(60):
            await queue.enqueue(spec)
            await queue.outcome(spec.id, WAIT)
            ended = await queue.status(spec.id)
            assert ended.ended_at is not None
            began = time.monotonic()
            await queue.outcome(spec.id, WAIT)
            late.append(time.monotonic() - began)
        await shared.async_redis.aclose()
        return sorted(late)

    assert asyncio.run(measure())[30] < 0.1


def test_ends_are_heard_through_killed_connections(jobs: JobQueue, shared: Shared, fleet: Fleet) -> None:
    """J14: the subscription is killed again and again while jobs end; all are read anew."""
    specs = notes(300, seconds=0.005)
    fleet.start("default")

    async def wait() -> float:
        queue = shared.async_queue
        await queue.enqueue_many(specs)
        waiting = [asyncio.create_task(queue.outcome(spec.id, WAIT)) for spec in specs]
        while not all(task.done() for task in waiting):
            await asyncio.to_thread(shared.redis.client_kill_filter, _type="pubsub")
            await asyncio.sleep(0.15)
            if jobs.counts()["default"]["queued"] == 0:
                break
        jobs.outcome(specs[-1].id, WAIT)
        started = time.monotonic()
        await asyncio.gather(*waiting)
        took = time.monotonic() - started
        await shared.async_redis.aclose()
        return took

    assert asyncio.run(wait()) < 3.0, "soon after the last, not when somebody looks again"


def test_an_end_that_nobody_waited_for_yet_is_heard(jobs: JobQueue, shared: Shared, fleet: Fleet) -> None:
    """J14: told while the subscription was dead, and asked for only afterwards."""
    (spec,) = notes(1)

    async def wait() -> float:
        queue = shared.async_queue
        await queue.enqueue(spec)
        await asyncio.to_thread(shared.redis.client_kill_filter, _type="pubsub")
        fleet.start("default")
        await asyncio.to_thread(jobs.outcome, spec.id, WAIT)
        started = time.monotonic()
        assert (await queue.outcome(spec.id, WAIT)).status == JobStatus.FINISHED
        took = time.monotonic() - started
        await shared.async_redis.aclose()
        return took

    assert asyncio.run(wait()) < 1.0


def test_who_waits_for_nothing_is_told(shared: Shared) -> None:
    """J14: a job that does not exist, and one that is deleted under the waiter."""

    async def wait() -> None:
        with pytest.raises(NotFound):
            await shared.async_queue.outcome(new_job_id(), 10)
        (spec,) = notes(1)
        await shared.async_queue.enqueue(spec)
        waiting = asyncio.create_task(shared.async_queue.outcome(spec.id, 20))
        await asyncio.sleep(0.1)
        shared.redis.delete(f"rq:job:{spec.id}")
        shared.redis.delete("rq:queue:default")
        with pytest.raises(NotFound):
            await waiting
        await shared.async_redis.aclose()

    asyncio.run(wait())


def test_delayed_jobs_start_within_a_second(jobs: JobQueue, shared: Shared, fleet: Fleet, tmp_path: Path) -> None:
    """J09: after a delay, and at a time; each on its own."""
    fleet.start("default")
    jobs.outcome(jobs.enqueue(notes(1)[0]).id, WAIT).unwrap()
    seconds, micros = shared.redis.time()
    now = seconds + micros / 1e6
    delays = [1.0 + n * 0.13 for n in range(20)]
    specs = [notes(1, tmp_path / "log", delay_seconds=delay)[0] for delay in delays[::2]]
    specs += [notes(1, tmp_path / "log", run_at=now + delay)[0] for delay in delays[1::2]]
    refs = jobs.enqueue_many(specs)
    assert {jobs.status(ref.id).status for ref in refs} == {JobStatus.SCHEDULED}
    late = []
    for spec, delay in zip(specs, [*delays[::2], *delays[1::2]], strict=True):
        jobs.outcome(spec.id, WAIT).unwrap()
        started: Any = shared.redis.hget(f"rq:job:{spec.id}", "started_at")
        late.append(datetime.fromisoformat(started.decode().replace("Z", "+00:00")).timestamp() - now - delay)
    assert min(late) > -0.05
    assert max(late) < 1.0, "the time it takes to be enqueued included"


def test_thousands_that_are_due_together_are_moved_at_once(
    jobs: JobQueue, shared: Shared, fleet: Fleet, wait_until: Callable[..., Any]
) -> None:
    """J09: however many have the same time."""
    seconds, micros = shared.redis.time()
    due = seconds + micros / 1e6 + 6.0
    jobs.enqueue_many(notes(6000, run_at=due))
    fleet.start("default")
    wait_until(lambda: shared.redis.zcard("rq:scheduled:default") == 0, 20)
    seconds, micros = shared.redis.time()
    assert seconds + micros / 1e6 - due < 2.0


def test_a_durable_job_says_whether_it_is_kept(
    jobs: JobQueue, make_settings: Any, tmp_path: Path, free_port: Any
) -> None:
    """D10: True when it is on the server's disk; False, with the job in the queue, where the server keeps nothing."""
    assert [ref.durable for ref in jobs.enqueue_many(notes(3), durable=True)] == [True] * 3
    assert jobs.enqueue(notes(1)[0]).durable is None
    own: Settings = make_settings(LTMC_HOME=tmp_path / "other", REDIS_PORT=free_port())
    with EmbeddedServer(own):
        shared = open_installation(own)
        shared.redis.config_set("appendonly", "no")
        started = time.monotonic()
        ref = shared.queue.enqueue(notes(1)[0], durable=True)
        assert (ref.created, ref.durable) == (True, False)
        assert time.monotonic() - started < 4.0
        assert shared.queue.status(ref.id).status == JobStatus.QUEUED
        shared.close()


def test_a_worker_whose_connection_died_silently_is_woken_again(shared: Shared, settings: Settings) -> None:
    """Y02: what it was told on the dead one is not lost for ever."""
    with Proxy(settings.redis_address(), lambda _answer: False) as proxy:
        connection = Redis.from_url(proxy.address, socket_timeout=1)
        call = WakeCall(connection, "somebody", silent_seconds=1.0)
        assert call.listen() is True
        proxy.silence()
        shared.redis.rpush(f"{PREFIX}wake:somebody", "w")
        assert call.listen() is False, "it waits for as long as an answer may take"
        assert select.select(call.sources(), [], [], 1.1)[0] == [], "it went where nobody hears"
        assert call.listen() is True, "and then looks whether there is work"
        shared.redis.rpush(f"{PREFIX}wake:somebody", "w")
        assert select.select(call.sources(), [], [], 5)[0]
        assert call.messages() == [b"w"]
        call.close()
        connection.close()
