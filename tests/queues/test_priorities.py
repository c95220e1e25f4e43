"""Strict order of the queues, and the guard for what would wait for ever."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from ltmc_jobs.queues.claims import STARVED_SECONDS, Claims, Ending, Run, iso
from ltmc_jobs.queues.contract import JobSpec, JobStatus
from ltmc_jobs.queues.queue import JobQueue
from ltmc_jobs.registry import Queue
from ltmc_jobs.shared import Shared
from tests.queues import kinds
from tests.queues.conftest import Fleet

WAIT = 60.0
ORDER = [queue.value for queue in kinds.QUEUES]


def note(queue: Queue, file: Path | str, line: str, seconds: float = 0.0) -> JobSpec:
    return JobSpec(
        kind=kinds.NOTES[queue], args={"file": str(file), "line": line, "seconds": seconds}, project="default"
    )


def age(shared: Shared, job_ids: list[str], seconds: float) -> None:
    """As if they had been enqueued so long ago."""
    for job_id in job_ids:
        shared.redis.hset(f"rq:job:{job_id}", "enqueued_at", iso(time.time() - seconds))


def test_a_higher_queue_is_empty_before_a_lower_one_starts(jobs: JobQueue, fleet: Fleet, tmp_path: Path) -> None:
    """J02: 100 jobs in each of four queues, one worker; enqueued in the wrong order."""
    specs = [note(queue, tmp_path / "log", queue) for _ in range(100) for queue in reversed(kinds.QUEUES)]
    jobs.enqueue_many(specs)
    fleet.start(*ORDER)
    for spec in specs:
        jobs.outcome(spec.id, WAIT).unwrap()
    assert kinds.begun(tmp_path / "log") == [queue for queue in ORDER for _ in range(100)]


@pytest.mark.parametrize(("free", "prefetch"), [(1, 0), (0, 2)])
def test_the_longest_starved_goes_first_when_it_is_looked_for(
    jobs: JobQueue, shared: Shared, free: int, prefetch: int
) -> None:
    """J02: one job for each look, that which waits longest, also where claims are only held ready."""
    first = {queue: [note(queue, "/dev/null", queue) for _ in range(3)] for queue in kinds.QUEUES}
    jobs.enqueue_many([spec for specs in first.values() for spec in specs])
    for seconds, queue in ((70, Queue.HIGH), (50, Queue.DEFAULT), (90, Queue.LOW)):
        age(shared, [first[queue][0].id], seconds)
    worker = Claims(shared.redis, "w0", ORDER)

    def claim(*, look: bool) -> list[str]:
        ticked = worker.tick([], free, prefetch, look_for_starved=look)
        ends = [Run(one.job_id, one.execution, Ending.DONE, "", "", 0.0, 1.0, 2.0) for one in ticked.claims]
        worker.tick(ends, 0)
        return [one.queue for one in ticked.claims]

    assert STARVED_SECONDS == 60.0
    assert set(claim(look=False)) == {"critical"}
    assert claim(look=True)[0] == "low"
    assert claim(look=True)[0] == "high"
    assert "default" not in claim(look=True)[:1], "it has not waited for a minute"


def test_a_paused_or_limited_queue_is_not_rescued(jobs: JobQueue, shared: Shared) -> None:
    """J02: a pause goes before the guard."""
    waiting = [note(queue, "/dev/null", queue) for queue in (Queue.HIGH, Queue.LOW)]
    jobs.enqueue_many(waiting)
    age(shared, [spec.id for spec in waiting], 100)
    age(shared, [waiting[1].id], 200)
    jobs.pause("low", "a test")
    ticked = Claims(shared.redis, "w0", ORDER).tick([], 4, look_for_starved=True)
    assert [one.queue for one in ticked.claims] == ["high"]


def test_a_worker_under_load_serves_the_starved(jobs: JobQueue, shared: Shared, fleet: Fleet, tmp_path: Path) -> None:
    """J02: beside a flood of short critical jobs, about one starved job a second is done."""
    flood = [note(Queue.CRITICAL, tmp_path / "log", "critical", 0.004) for _ in range(1500)]
    starved = [note(Queue.LOW, tmp_path / "log", "low") for _ in range(20)]
    jobs.enqueue_many([*starved, *flood])
    age(shared, [spec.id for spec in starved], 100)
    fleet.start(*ORDER)
    for spec in starved[:2]:
        assert jobs.outcome(spec.id, WAIT).status == JobStatus.FINISHED
    assert jobs.counts()["critical"]["queued"] > 0, "the flood goes on"
    jobs.outcome(flood[-1].id, WAIT).unwrap()
    rows = [row.split(" ") for row in (tmp_path / "log").read_text().splitlines() if row.startswith("+")]
    last = max(float(row[2]) for row in rows if row[1] == "critical")
    served = [float(row[2]) for row in rows if row[1] == "low" and float(row[2]) < last]
    first = min(float(row[2]) for row in rows)
    assert 2 <= len(served) <= last - first + 2, "at most once a second"
