"""Limits and pauses, checked where jobs are claimed: never exceeded, and nobody waits for ever."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ltmc_jobs.queues.claims import Claim, Claims
from ltmc_jobs.queues.contract import JobSpec, JobStatus
from ltmc_jobs.queues.control import Limit
from ltmc_jobs.queues.queue import JobQueue
from ltmc_jobs.registry import Queue
from ltmc_jobs.settings import Settings
from ltmc_jobs.shared import Shared
from tests.queues import kinds
from tests.queues.conftest import Fleet
from tests.queues.limits_machine import LimitsModel, end, note
from tests.queues.trial import try_machine

WAIT = 30.0


def test_limits_hold_and_nobody_waits_for_ever(redis_url: str, settings: Settings) -> None:
    """J02: at most so many at once, of a queue and of a function, whoever ends, dies or is cancelled."""
    try_machine(LimitsModel, redis_url, settings, examples=20, steps=30)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_limits_hold_for_long(redis_url: str, settings: Settings) -> None:
    """J02: the same for minutes."""
    try_machine(LimitsModel, redis_url, settings, examples=400, steps=60)


@pytest.mark.parametrize("subject", ["queue", "func"])
def test_workers_keep_a_limit(jobs: JobQueue, fleet: Fleet, tmp_path: Path, subject: Any) -> None:
    """J02: three processes, at most two at once, and other jobs are not held up."""
    for n in range(3):
        fleet.start("default", "low", pool=f"p{n}")
    name = "default" if subject == "queue" else kinds.NOTE.name
    jobs.limit(subject, name, Limit(at_once=2))
    limited = jobs.enqueue_many([note(kinds.NOTE, tmp_path / "log", n, 0.05) for n in range(24)])
    other = jobs.enqueue(note(kinds.NOTES[Queue.LOW], tmp_path / "other", "other"))
    jobs.outcome(other.id, WAIT).unwrap()
    for ref in limited:
        jobs.outcome(ref.id, WAIT).unwrap()
    assert kinds.most_at_once(tmp_path / "log") == 2
    assert Counter(kinds.begun(tmp_path / "log")) == Counter(str(n) for n in range(24))


@pytest.mark.parametrize("subject", ["queue", "func"])
def test_workers_keep_a_rate(jobs: JobQueue, fleet: Fleet, tmp_path: Path, subject: Any) -> None:
    """J02: a period's jobs at once, and then one after the other as the rate lets them; in their order."""
    fleet.start("default", pool="one")
    fleet.start("default", pool="two")
    jobs.outcome(jobs.enqueue(note(kinds.THREAD_NOTE, tmp_path / "ready", 0)).id, WAIT)
    name = "default" if subject == "queue" else kinds.NOTE.name
    jobs.limit(subject, name, Limit(jobs=5, seconds=1.0))
    started = time.monotonic()
    for ref in jobs.enqueue_many([note(kinds.NOTE, tmp_path / "log", n) for n in range(20)]):
        jobs.outcome(ref.id, WAIT).unwrap()
    took = time.monotonic() - started
    times = sorted(float(row.split(" ")[2]) for row in (tmp_path / "log").read_text().splitlines() if row[0] == "+")
    assert 2.8 <= took < 8.0, "15 after the first 5, at 5 a second"
    for n in range(5, 20):
        assert times[n] - times[0] > (n - 4) * 0.2 - 0.1, "never faster than the rate"


def test_a_limit_that_goes_lets_go_of_what_it_held(
    jobs: JobQueue, fleet: Fleet, tmp_path: Path, wait_until: Callable[..., Any]
) -> None:
    """J02: parked jobs come back when the limit is removed, and when the one that runs is cancelled."""
    jobs.limit("func", kinds.LONG["inline"].name, Limit(at_once=1))
    for n in range(2):
        fleet.start("default", pool=f"p{n}")
    specs = [
        JobSpec(kind=kinds.LONG["inline"], args={"file": str(tmp_path / "log"), "how": f"n{n}"}, project="default")
        for n in range(3)
    ]
    jobs.enqueue_many(specs)
    wait_until(lambda: [jobs.status(spec.id).status for spec in specs] == ["started", "deferred", "deferred"])
    jobs.cancel(specs[0].id)
    wait_until(lambda: jobs.status(specs[1].id).status == "started", 5)
    assert jobs.status(specs[2].id).status == JobStatus.DEFERRED
    jobs.limit("func", kinds.LONG["inline"].name, None)
    wait_until(lambda: jobs.status(specs[2].id).status == "started", 5)
    for spec in specs:
        jobs.cancel(spec.id)
        assert jobs.outcome(spec.id, 5).status == JobStatus.STOPPED


def test_a_claim_stays_short_however_many_are_over_a_limit(shared: Shared, jobs: JobQueue, tmp_path: Path) -> None:
    """J02: thousands of jobs at their function's limit are set aside in turns, and do not hold up Redis."""
    jobs.limit("func", kinds.NOTE.name, Limit(at_once=1))
    specs = [note(kinds.NOTE, tmp_path / "log", n) for n in range(3000)]
    other = note(kinds.THREAD_NOTE, tmp_path / "log", "other")
    jobs.enqueue_many([*specs, other])
    worker = Claims(shared.redis, "w0", ("default",))
    claimed: list[Claim] = []
    for _ in range(20):
        ticked = worker.tick([], 4 - len(claimed))
        claimed += ticked.claims
        assert shared.redis.zcard("rq:deferred:default") <= 600 * (_ + 1)
        if ticked.come_again_at is None:
            break
    assert [claim.job_id for claim in claimed] == [specs[0].id, other.id]
    ticked = worker.tick([end(claim) for claim in claimed], 4)
    assert [claim.job_id for claim in ticked.claims] == [specs[1].id], "the next in order"


def test_a_paused_queue_starts_nothing(jobs: JobQueue, fleet: Fleet, tmp_path: Path) -> None:
    """J02: with its reason; the others go on; resumed, it goes on at once."""
    fleet.start("default", "low")
    jobs.outcome(jobs.enqueue(note(kinds.NOTE, tmp_path / "log", "first")).id, WAIT).unwrap()
    jobs.pause("default", "the disk is full", by="somebody")
    paused = jobs.controls().pauses["default"]
    assert (paused["reason"], paused["by"]) == ("the disk is full", "somebody")
    held = [jobs.enqueue(note(kinds.NOTE, tmp_path / "log", "held")).id for _ in range(3)]
    jobs.outcome(jobs.enqueue(note(kinds.NOTES[Queue.LOW], tmp_path / "log", "low")).id, WAIT).unwrap()
    assert [jobs.status(job_id).status for job_id in held] == ["queued"] * 3
    jobs.resume("default")
    started = time.monotonic()
    for job_id in held:
        jobs.outcome(job_id, WAIT).unwrap()
    assert time.monotonic() - started < 3.0
    assert jobs.controls().pauses == {}


def test_rqs_suspension_is_kept(shared: Shared, jobs: JobQueue, fleet: Fleet, tmp_path: Path) -> None:
    """J01: `rq suspend` and `rq resume` work on our workers."""
    from rq.suspension import resume, suspend

    fleet.start("default")
    jobs.outcome(jobs.enqueue(note(kinds.NOTE, tmp_path / "log", "first")).id, WAIT).unwrap()
    suspend(shared.redis)
    held = jobs.enqueue(note(kinds.NOTE, tmp_path / "log", "held")).id
    assert jobs.outcome(held, 1.5).status == JobStatus.QUEUED
    resume(shared.redis)
    started = time.monotonic()
    jobs.outcome(held, WAIT).unwrap()
    assert time.monotonic() - started < 10.0
