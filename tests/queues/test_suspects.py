"""What may have killed a worker waits for a process of its own, and holds up nobody."""

from __future__ import annotations

from redis import Redis

from ltmc_jobs import keys
from ltmc_jobs.queues.claims import Claims, Ending, Run, bury
from ltmc_jobs.queues.contract import JobSpec
from ltmc_jobs.queues.queue import JobQueue
from ltmc_jobs.shared import Shared
from tests.queues import kinds


def test_suspects_without_a_place_stay_at_the_head(jobs: JobQueue, shared: Shared) -> None:
    ids = _suspected(jobs, shared.redis, 3, 2)
    full, other = _worker(shared.redis, "full"), _worker(shared.redis, "other")
    first = full.tick([], 2, alone=1).claims
    assert [(claim.job_id, claim.alone) for claim in first] == [(ids[0], True), (ids[3], False)]
    assert _waiting(shared.redis) == [ids[1], ids[2], ids[4]], "and in their order"
    assert [claim.job_id for claim in full.tick([], 0, 2, alone=0).claims] == [ids[4]], "nor is one held ready"
    again = other.tick([], 5, alone=12).claims
    assert [claim.job_id for claim in again] == [ids[1], ids[2]]
    assert [claim.attempt for claim in again] == [2, 2], "to be passed over is no attempt"


def test_a_place_that_becomes_free_is_taken_with_the_same_tick(jobs: JobQueue, shared: Shared) -> None:
    ids = _suspected(jobs, shared.redis, 2, 0)
    worker = _worker(shared.redis, "worker")
    (held,) = worker.tick([], 4, alone=1).claims
    done = Run(held.job_id, held.execution, Ending.DONE, "", "", 0.0, 1.0, 2.0)
    assert [claim.job_id for claim in worker.tick([done], 4, alone=1).claims] == [ids[1]]


def test_who_takes_some_wakes_one_and_who_takes_none_nobody(jobs: JobQueue, shared: Shared) -> None:
    """Two that have no place must not wake each other for ever."""
    _suspected(jobs, shared.redis, 3, 0)
    one, two = _worker(shared.redis, "one"), _worker(shared.redis, "two")
    one.tick([], 4, alone=0)
    two.tick([], 4, alone=1)
    assert (_calls(shared.redis, "one"), _calls(shared.redis, "two")) == (1, 0)
    one.tick([], 4, alone=0)
    two.tick([], 4, alone=0)
    assert (_calls(shared.redis, "one"), _calls(shared.redis, "two")) == (1, 0)


def test_the_first_suspect_runs_first(jobs: JobQueue, shared: Shared) -> None:
    """However many more workers die while it waits."""
    ids = _suspected(jobs, shared.redis, 2, 0)
    later = _suspected(jobs, shared.redis, 2, 1, first=False)
    assert _waiting(shared.redis) == ids + later


def _suspected(jobs: JobQueue, redis: Redis, suspects: int, others: int, first: bool = True) -> list[str]:
    """Jobs in their queue, in this order, the first ones after they were at hand when a worker died."""
    ids = [jobs.enqueue(JobSpec(kind=kinds.NOTE, args={}, project="default")).id for _ in range(suspects + others)]
    dead = _worker(redis, f"dead-{ids[0]}")
    claims = dead.tick([], suspects, alone=9 * first).claims
    assert bury(redis, dead.worker, Ending.BACK, suspects=[claim.member for claim in claims]) == (suspects, suspects)
    return ids


def _worker(redis: Redis, name: str) -> Claims:
    claims = Claims(redis, name, ["default"], {"queues": "default"}, tag=name)
    claims.renew()
    return claims


def _waiting(redis: Redis) -> list[str]:
    ids: list[bytes] = redis.lrange("rq:queue:default", 0, -1)  # type: ignore[assignment]
    return [job_id.decode() for job_id in ids]


def _calls(redis: Redis, name: str) -> int:
    """How often it was called and has not come yet."""
    return redis.llen(f"{keys.PREFIX}wake:{name}")  # type: ignore[return-value]
