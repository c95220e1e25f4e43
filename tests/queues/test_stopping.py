"""Cancelled, and out of time: what runs is stopped, in every executor, however unwilling it is."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ltmc_jobs.errors import JobCancelled, JobTimeout
from ltmc_jobs.queues.contract import JobSpec, JobStatus
from ltmc_jobs.queues.queue import JobQueue
from tests.queues import kinds
from tests.queues.conftest import Fleet
from workers.worker import SPENT

EXECUTORS = ("inline", "thread", "asyncio", "process")
WAIT = 30.0


def long(executor: str, file: Path, how: str, **options: Any) -> JobSpec:
    return JobSpec(kind=kinds.LONG[executor], args={"file": str(file), "how": how}, project="default", **options)


def quick(file: Path) -> JobSpec:
    return JobSpec(kind=kinds.NOTE, args={"file": str(file), "line": "quick"}, project="default")


@pytest.mark.parametrize("how", ["plain", "stubborn"])
@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_running_job_is_cancelled(
    jobs: JobQueue, fleet: Fleet, tmp_path: Path, wait_until: Callable[..., Any], executor: str, how: str
) -> None:
    """J11: within two seconds, also one that catches every Exception; its worker goes on."""
    worker = fleet.start("default")
    job_id = jobs.enqueue(long(executor, tmp_path / "log", how)).id
    wait_until(lambda: kinds.begun(tmp_path / "log"), 20)
    started = time.monotonic()
    assert jobs.cancel(job_id) is True
    with pytest.raises(JobCancelled):
        jobs.outcome(job_id, 10).unwrap()
    assert time.monotonic() - started < 2.0
    assert jobs.status(job_id).status == JobStatus.STOPPED
    jobs.outcome(jobs.enqueue(quick(tmp_path / "quick")).id, WAIT).unwrap()
    assert worker.poll() is None
    assert jobs.cancel(job_id) is True, "it will never run"
    jobs.retry(job_id)
    jobs.cancel(job_id)
    assert jobs.outcome(job_id, 10).is_final


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_deaf_job_is_cancelled_by_replacing_its_process(
    jobs: JobQueue, fleet: Fleet, tmp_path: Path, wait_until: Callable[..., Any], executor: str
) -> None:
    """J11: within two seconds for whoever waits, even if it catches everything; its process ends soon after."""
    worker = fleet.start("default")
    job_id = jobs.enqueue(long(executor, tmp_path / "log", "deaf")).id
    wait_until(lambda: kinds.begun(tmp_path / "log"), 20)
    started = time.monotonic()
    jobs.cancel(job_id)
    with pytest.raises(JobCancelled):
        jobs.outcome(job_id, 10).unwrap()
    assert time.monotonic() - started < 2.0
    if executor == "process":
        jobs.outcome(jobs.enqueue(quick(tmp_path / "quick")).id, WAIT).unwrap()
        assert worker.poll() is None, "only its child was replaced"
        return
    assert worker.wait(10) == SPENT
    fleet.start("default", pool="next")
    jobs.outcome(jobs.enqueue(quick(tmp_path / "quick")).id, WAIT).unwrap()
    assert jobs.status(job_id).status == JobStatus.STOPPED
    assert len(kinds.begun(tmp_path / "log")) == 1


def test_a_thread_that_sleeps_in_native_code_is_given_up(
    jobs: JobQueue, fleet: Fleet, tmp_path: Path, wait_until: Callable[..., Any]
) -> None:
    """J11: nothing reaches a thread in there, so that its process is replaced; what runs beside it is ended first."""
    worker = fleet.start("default")
    job_id = jobs.enqueue(long("thread", tmp_path / "log", "asleep")).id
    beside = jobs.enqueue(
        JobSpec(kind=kinds.THREAD_NOTE, args={"file": str(tmp_path / "beside"), "seconds": 3.0}, project="default")
    ).id
    wait_until(lambda: kinds.begun(tmp_path / "log") and kinds.begun(tmp_path / "beside"), 20)
    jobs.cancel(job_id)
    assert jobs.outcome(job_id, 2.0).status == JobStatus.STOPPED
    assert worker.wait(15) == SPENT
    assert jobs.outcome(beside, 1).status == JobStatus.FINISHED


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("how", ["stubborn", "deaf"])
def test_a_job_ends_when_its_time_is_over(
    jobs: JobQueue, fleet: Fleet, tmp_path: Path, executor: str, how: str
) -> None:
    """J11, J15: after its kind's limit, whatever it catches."""
    fleet.start("default")
    jobs.outcome(jobs.enqueue(quick(tmp_path / "quick")).id, WAIT).unwrap()
    spec = JobSpec(kind=kinds.BRIEF[executor], args={"file": str(tmp_path / "log"), "how": how}, project="default")
    started = time.monotonic()
    jobs.enqueue(spec)
    with pytest.raises(JobTimeout):
        jobs.outcome(spec.id, 20).unwrap()
    took = time.monotonic() - started
    begun = len(kinds.begun(tmp_path / "log"))
    assert begun == 1, "it has begun, however long its process took to start"
    assert 0.9 < took < (6.0 if executor == "process" else 3.5)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_cancelled_job_behind_another_never_runs(
    jobs: JobQueue, fleet: Fleet, tmp_path: Path, wait_until: Callable[..., Any], executor: str
) -> None:
    """J11: also where a worker holds it ready."""
    fleet.start("default")
    first = [long(executor, tmp_path / "log", "plain") for _ in range(200 if executor == "asyncio" else 12)]
    jobs.enqueue_many(first)
    wait_until(lambda: kinds.begun(tmp_path / "log"), 20)
    for spec in reversed(first):
        assert jobs.cancel(spec.id) is True
    for spec in first:
        assert jobs.outcome(spec.id, 15).status in (JobStatus.STOPPED, JobStatus.CANCELED)
    jobs.outcome(jobs.enqueue(quick(tmp_path / "quick")).id, WAIT).unwrap()


def test_one_job_of_a_batch_is_cancelled_and_the_others_run_again(
    jobs: JobQueue, fleet: Fleet, tmp_path: Path, wait_until: Callable[..., Any]
) -> None:
    """J11: what interrupts the function was meant for one; the others have neither failed nor spent a retry."""
    file = tmp_path / "log"
    slow, *others = [
        JobSpec(kind=kinds.LINGERING, args={"file": str(file), "line": line}, project="default")
        for line in ("slow", "a", "b")
    ]
    jobs.enqueue_many([slow, *others])
    fleet.start("default")
    wait_until(lambda: len(kinds.begun(file)) == 3, 20)
    jobs.cancel(slow.id)
    assert jobs.outcome(slow.id, 5).status == JobStatus.STOPPED
    assert [jobs.outcome(spec.id, 10).unwrap() for spec in others] == [2, 2]
    assert sorted(kinds.begun(file)) == ["a", "a", "b", "b", "slow"]


@pytest.mark.parametrize("executor", ["thread", "asyncio", "inline"])
def test_jobs_that_end_as_they_are_stopped_end_once(
    jobs: JobQueue, fleet: Fleet, tmp_path: Path, executor: str
) -> None:
    """J11: their time is over in the very moment in which they end; nothing hangs, no process is lost."""
    worker = fleet.start("default")
    jobs.outcome(jobs.enqueue(quick(tmp_path / "quick")).id, WAIT).unwrap()
    specs = [
        JobSpec(
            kind=kinds.BRIEF[executor],
            args={"file": str(tmp_path / "log"), "how": "plain", "seconds": 1.0 + n * 0.002},
            project="default",
        )
        for n in range(3 if executor == "inline" else 24)
    ]
    jobs.enqueue_many(specs)
    for spec in specs:
        assert jobs.outcome(spec.id, 30).status in (JobStatus.FINISHED, JobStatus.FAILED)
    jobs.outcome(jobs.enqueue(quick(tmp_path / "quick")).id, WAIT).unwrap()
    assert worker.poll() is None
