"""What every queue behind the seam does, tried with real worker processes."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rq.job import Job as RqJob
from rq.serializers import JSONSerializer

from ltmc_jobs.errors import Conflict, InvalidArguments, JobCancelled, JobFailed, JobTimeout, Misconfigured, NotFound
from ltmc_jobs.queues.contract import JobSpec, JobStatus, Principal, new_job_id
from ltmc_jobs.queues.queue import JobQueue
from ltmc_jobs.registry import JobKind
from ltmc_jobs.settings import Settings
from ltmc_jobs.shared import Shared
from tests import queue_kinds as kinds
from tests.fleet import WorkerProcesses, open_installation

WAIT = 15.0


@pytest.fixture
def shared(settings: Settings) -> Iterator[Shared]:
    opened = open_installation(settings)
    yield opened
    opened.close()


@pytest.fixture
def jobs(shared: Shared) -> JobQueue:
    return shared.queue


@pytest.fixture
def fleet(settings: Settings, shared: Shared) -> Iterator[WorkerProcesses]:
    processes = WorkerProcesses(settings)
    yield processes
    processes.stop()


def spec(kind: JobKind, **args: Any) -> JobSpec:
    return JobSpec(kind=kind, args=args, project="default")


def lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


def test_a_job_runs_and_its_result_comes_back(jobs: JobQueue, fleet: WorkerProcesses) -> None:
    fleet.start("default")
    given = {"text": "naïve \x00 \U0001f600", "number": 1.5, "nested": [{"a": None}, True]}
    ref = jobs.enqueue(spec(kinds.ECHO, **given))
    outcome = jobs.outcome(ref.id, WAIT)
    assert (ref.queue, ref.created, outcome.status) == ("default", True, JobStatus.FINISHED)
    assert outcome.unwrap() == {"given": given, "attempt": 1, "project": "default"}


def test_the_status_of_a_job_is_json_and_whole(jobs: JobQueue, fleet: WorkerProcesses) -> None:
    """J10."""
    fleet.start("default")
    job_id = jobs.enqueue(spec(kinds.ECHO, x=1)).id
    jobs.outcome(job_id, WAIT)
    shown = json.loads(json.dumps(jobs.status(job_id).as_dict()))
    assert shown["id"] == shown["job_id"] == job_id
    assert shown["status"] == "finished"
    assert shown["attempts"] == 1
    assert shown["result"]["given"] == {"x": 1}
    assert shown["error"] is None
    assert shown["created_at"] <= shown["started_at"] <= shown["ended_at"]
    assert shown["meta"]["trace_id"] == job_id


def test_an_unknown_job_is_not_found(jobs: JobQueue) -> None:
    for ask in (jobs.status, jobs.cancel, lambda job_id: jobs.outcome(job_id, 0)):
        with pytest.raises(NotFound):
            ask(new_job_id())


def test_the_same_id_is_the_same_job(jobs: JobQueue, fleet: WorkerProcesses, tmp_path: Path) -> None:
    one = spec(kinds.APPEND, file=str(tmp_path / "log"), line="once")
    refs = [jobs.enqueue(one) for _ in range(3)]
    assert [ref.created for ref in refs] == [True, False, False]
    fleet.start("default")
    jobs.outcome(one.id, WAIT)
    assert jobs.enqueue(one).created is False
    last = jobs.enqueue(spec(kinds.APPEND, file=str(tmp_path / "log"), line="last"))
    jobs.outcome(last.id, WAIT)
    assert lines(tmp_path / "log") == ["once", "last"]


def test_a_queue_is_first_in_first_out(jobs: JobQueue, fleet: WorkerProcesses, tmp_path: Path) -> None:
    refs = jobs.enqueue_many([spec(kinds.APPEND, file=str(tmp_path / "log"), line=str(n)) for n in range(10)])
    fleet.start("default")
    for ref in refs:
        jobs.outcome(ref.id, WAIT).unwrap()
    assert lines(tmp_path / "log") == [str(n) for n in range(10)]


def test_a_job_waits_for_those_it_depends_on(jobs: JobQueue, fleet: WorkerProcesses, tmp_path: Path) -> None:
    file = str(tmp_path / "log")
    first = [spec(kinds.APPEND, file=file, line=f"first {n}", seconds=0.05) for n in range(2)]
    last = JobSpec(
        kind=kinds.APPEND,
        args={"file": file, "line": "last"},
        project="default",
        depends_on=tuple(one.id for one in first),
    )
    jobs.enqueue_many([*first, last])
    assert jobs.status(last.id).status == JobStatus.DEFERRED
    fleet.start("default", pool="one")
    fleet.start("default", pool="two")
    jobs.outcome(last.id, WAIT).unwrap()
    assert lines(tmp_path / "log")[-1] == "last"
    again = JobSpec(kind=kinds.ECHO, args={}, project="default", depends_on=(last.id,))
    jobs.enqueue(again)
    jobs.outcome(again.id, WAIT).unwrap()


def test_a_wait_ends_when_its_time_is_over(jobs: JobQueue) -> None:
    ref = jobs.enqueue(spec(kinds.ECHO))
    started = time.monotonic()
    outcome = jobs.outcome(ref.id, 0.3)
    assert not outcome.is_final
    assert 0.25 < time.monotonic() - started < 2.0


def test_a_waiter_is_woken_at_once(jobs: JobQueue, shared: Shared, fleet: WorkerProcesses) -> None:
    fleet.start("default")
    jobs.outcome(jobs.enqueue(spec(kinds.ECHO)).id, WAIT)

    async def wait_for_many() -> list[float]:
        refs = [await shared.async_queue.enqueue(spec(kinds.ECHO, n=n)) for n in range(20)]
        started = time.monotonic()
        outcomes = await asyncio.gather(*(shared.async_queue.outcome(ref.id, WAIT) for ref in refs))
        assert [outcome.unwrap()["given"]["n"] for outcome in outcomes] == list(range(20))
        await shared.async_redis.aclose()
        return [time.monotonic() - started]

    assert asyncio.run(wait_for_many())[0] < 4.0


def test_a_failed_job_is_kept_with_its_typed_error(jobs: JobQueue, fleet: WorkerProcesses, tmp_path: Path) -> None:
    fleet.start("default")
    job_id = jobs.enqueue(spec(kinds.REFUSE, file=str(tmp_path / "log"))).id
    with pytest.raises(Conflict, match="it does not fit") as caught:
        jobs.outcome(job_id, WAIT).unwrap()
    assert caught.value.details == {"thing": "door"}
    assert lines(tmp_path / "log") == ["ran"], "an error that is not worth a retry runs once"
    info = jobs.status(job_id)
    assert (info.status, info.attempts) == (JobStatus.FAILED, 1)
    assert [failed.id for failed in jobs.list(status=JobStatus.FAILED)] == [job_id]


def test_an_unforeseen_error_says_nothing_of_our_inside(jobs: JobQueue, fleet: WorkerProcesses) -> None:
    fleet.start("default")
    for kind, error in ((kinds.CRASH, JobFailed), (kinds.BE_MISCONFIGURED, Misconfigured)):
        job_id = jobs.enqueue(spec(kind)).id
        with pytest.raises(error) as caught:
            jobs.outcome(job_id, WAIT).unwrap()
        assert "secret inner words" not in json.dumps(jobs.status(job_id).as_dict()) + str(caught.value)


def test_an_error_worth_a_retry_is_retried(jobs: JobQueue, fleet: WorkerProcesses, tmp_path: Path) -> None:
    fleet.start("default")
    ref = jobs.enqueue(spec(kinds.BE_AWAY, file=str(tmp_path / "log"), times=2))
    assert jobs.outcome(ref.id, WAIT).unwrap() == {"attempt": 3}
    too_often = jobs.enqueue(spec(kinds.BE_AWAY, file=str(tmp_path / "log"), times=9))
    assert jobs.outcome(too_often.id, WAIT).error is not None
    assert jobs.status(too_often.id).attempts == 3
    assert len(lines(tmp_path / "log")) == 6


def test_a_failed_job_can_be_retried_by_hand(jobs: JobQueue, fleet: WorkerProcesses, tmp_path: Path) -> None:
    fleet.start("default")
    job_id = jobs.enqueue(spec(kinds.BE_AWAY, file=str(tmp_path / "log"), times=3)).id
    assert jobs.outcome(job_id, WAIT).error is not None
    jobs.retry(job_id)
    assert jobs.outcome(job_id, WAIT).unwrap() == {"attempt": 4}
    with pytest.raises(Conflict):
        jobs.retry(job_id)


def test_a_queued_job_can_be_cancelled(jobs: JobQueue, fleet: WorkerProcesses, tmp_path: Path) -> None:
    """J11, its first part."""
    job_id = jobs.enqueue(spec(kinds.APPEND, file=str(tmp_path / "log"), line="never")).id
    assert jobs.cancel(job_id) is True
    assert jobs.cancel(job_id) is True
    with pytest.raises(JobCancelled):
        jobs.outcome(job_id, 1).unwrap()
    fleet.start("default")
    jobs.outcome(jobs.enqueue(spec(kinds.ECHO)).id, WAIT).unwrap()
    assert lines(tmp_path / "log") == []
    done = jobs.enqueue(spec(kinds.ECHO)).id
    jobs.outcome(done, WAIT)
    assert jobs.cancel(done) is False


def test_a_cancelled_job_wakes_its_waiter(jobs: JobQueue, shared: Shared) -> None:
    async def cancel_while_waiting() -> float:
        job_id = (await shared.async_queue.enqueue(spec(kinds.ECHO))).id
        waiting = asyncio.create_task(shared.async_queue.outcome(job_id, 10))
        await asyncio.sleep(0.2)
        started = time.monotonic()
        await shared.async_queue.cancel(job_id)
        assert (await waiting).status == JobStatus.CANCELED
        await shared.async_redis.aclose()
        return time.monotonic() - started

    assert asyncio.run(cancel_while_waiting()) < 2.0


def test_a_job_is_stopped_at_its_timeout(jobs: JobQueue, fleet: WorkerProcesses, tmp_path: Path) -> None:
    """J15: a limit that a kind declares."""
    fleet.start("default")
    job_id = jobs.enqueue(spec(kinds.BRIEF, file=str(tmp_path / "log"), line="late", seconds=20)).id
    started = time.monotonic()
    with pytest.raises(JobTimeout):
        jobs.outcome(job_id, WAIT).unwrap()
    assert time.monotonic() - started < 8
    assert lines(tmp_path / "log") == []


def test_default_limits_and_lives(jobs: JobQueue, shared: Shared, fleet: WorkerProcesses) -> None:
    """J15: timeout 300 s, results for an hour, failures for a day; each kind may say otherwise."""
    default, brief = spec(kinds.ECHO), spec(kinds.BRIEF, file="/dev/null", line="")
    jobs.enqueue_many([default, brief])
    job = RqJob.fetch(default.id, shared.redis, serializer=JSONSerializer)
    assert (job.timeout, job.result_ttl, job.failure_ttl) == (300, 3600, 86400)
    assert RqJob.fetch(brief.id, shared.redis, serializer=JSONSerializer).timeout == 1
    fleet.start("default")
    jobs.outcome(brief.id, WAIT).unwrap()
    assert 3500 < shared.redis.ttl(f"rq:job:{default.id}") <= 3600
    assert 0 < shared.redis.ttl(f"rq:job:{brief.id}") <= 60


def test_a_running_job_tells_of_itself(
    jobs: JobQueue, fleet: WorkerProcesses, tmp_path: Path, wait_until: Callable[..., Any]
) -> None:
    fleet.start("default")
    job_id = jobs.enqueue(spec(kinds.REPORT, file=str(tmp_path / "go"))).id
    meta = wait_until(lambda: jobs.status(job_id).meta if jobs.status(job_id).meta.get("log") else None)
    assert meta["progress"] == {"done": 1, "total": 3, "message": "one of three"}
    assert meta["log"] == ["a line"]
    (tmp_path / "go").touch()
    told = jobs.outcome(job_id, WAIT).unwrap()
    assert told["cancelled"] is False
    assert 200 < told["left"] <= 300


def test_queues_are_served_in_their_order(jobs: JobQueue, fleet: WorkerProcesses) -> None:
    low = [jobs.enqueue(spec(kinds.ECHO_LOW, n=n)) for n in range(3)]
    default = [jobs.enqueue(spec(kinds.ECHO, n=n)) for n in range(3)]
    fleet.start("default", "low")
    for ref in [*low, *default]:
        jobs.outcome(ref.id, WAIT).unwrap()
    ended = [(jobs.status(ref.id).ended_at, ref.queue) for ref in [*low, *default]]
    assert [queue for _, queue in sorted(ended)] == ["default"] * 3 + ["low"] * 3


def test_lists_and_counts(jobs: JobQueue) -> None:
    refs = jobs.enqueue_many([spec(kinds.ECHO, n=n) for n in range(5)])
    jobs.enqueue(JobSpec(kind=kinds.ECHO, args={}, project="other", principal=Principal("somebody")))
    listed = jobs.list(project="default", limit=3)
    assert [info.id for info in listed] == [ref.id for ref in reversed(refs)][:3]
    assert len(jobs.list()) == 6
    assert [info.project for info in jobs.list(project="other")] == ["other"]
    assert jobs.list(status=JobStatus.FINISHED) == []
    assert jobs.counts()["default"]["queued"] == 6
    assert jobs.counts()["low"]["queued"] == 0


def test_the_newest_job_is_listed_first_whatever_its_id(jobs: JobQueue) -> None:
    ids = ["ffff0000-0000-4000-8000-000000000000", new_job_id(), "00000000-0000-4000-8000-000000000000"]
    for job_id in ids:
        jobs.enqueue(JobSpec(kind=kinds.ECHO, args={}, project="default", id=job_id))
    assert [info.id for info in jobs.list(project="default", limit=2)] == ids[:0:-1]
    assert [info.id for info in jobs.list(limit=2)] == ids[:0:-1]


def test_many_at_once_are_idempotent_too(jobs: JobQueue) -> None:
    specs = [spec(kinds.ECHO, n=n) for n in range(4)]
    assert jobs.enqueue_many([]) == []
    assert [ref.created for ref in jobs.enqueue_many(specs[:3])] == [True] * 3
    assert [ref.created for ref in jobs.enqueue_many(specs)] == [False, False, False, True]
    twice = spec(kinds.ECHO)
    assert [ref.created for ref in jobs.enqueue_many([twice, twice])] == [True, False]
    assert jobs.counts()["default"]["queued"] == 5


def test_what_is_not_json_is_refused_before_anything_is_written(jobs: JobQueue, shared: Shared) -> None:
    before = set(shared.redis.scan_iter("rq:*"))
    for bad in (object(), float("nan"), {1, 2}, "x" * 68_000_000):
        with pytest.raises(InvalidArguments):
            jobs.enqueue(spec(kinds.ECHO, bad=bad))
    assert set(shared.redis.scan_iter("rq:*")) == before


def test_a_killed_workers_job_runs_again(jobs: JobQueue, fleet: WorkerProcesses, tmp_path: Path) -> None:
    first = fleet.start("default")
    job_id = jobs.enqueue(spec(kinds.DIE_ONCE, file=str(tmp_path / "log"))).id
    assert first.wait(10) == -signal.SIGKILL
    fleet.processes.remove(first)
    fleet.start("default")
    assert jobs.outcome(job_id, WAIT).unwrap() == {"lived": True}
    assert jobs.status(job_id).attempts == 2


def test_a_worker_that_is_asked_to_stop_finishes_its_job(
    jobs: JobQueue, fleet: WorkerProcesses, tmp_path: Path, wait_until: Callable[..., Any]
) -> None:
    worker = fleet.start("default")
    job_id = jobs.enqueue(spec(kinds.APPEND, file=str(tmp_path / "log"), line="whole", seconds=0.5)).id
    waiting = jobs.enqueue(spec(kinds.ECHO)).id
    wait_until(lambda: jobs.status(job_id).status == JobStatus.STARTED)
    worker.terminate()
    assert worker.wait(10) == 0
    assert jobs.status(job_id).status == JobStatus.FINISHED
    assert jobs.status(waiting).status == JobStatus.QUEUED
