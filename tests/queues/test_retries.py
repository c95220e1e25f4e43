"""Retries: how often, when, of which errors, and what is left of each attempt."""

from __future__ import annotations

import base64
import zlib
from pathlib import Path
from typing import Any

import pytest
from rq.registry import FailedJobRegistry

from ltmc_jobs.errors import JobFailed, Unavailable
from ltmc_jobs.queues.contract import JobSpec, JobStatus
from ltmc_jobs.queues.queue import JobQueue
from ltmc_jobs.registry import JobKind
from ltmc_jobs.shared import Shared
from tests.queues import kinds
from tests.queues.conftest import Fleet
from workers.execution import LONGEST_RETRY_SECONDS, delay_seconds

WAIT = 30.0
RETRIED, FAILED, DONE = b"4", b"2", b"1"


def failing(kind: JobKind, file: Path, times: int, how: str = "away") -> JobSpec:
    return JobSpec(kind=kind, args={"file": str(file), "times": times, "how": how}, project="default")


def results(shared: Shared, job_id: str) -> list[dict[bytes, bytes]]:
    entries: Any = shared.redis.xrange(f"rq:results:{job_id}")
    return [fields for _, fields in entries]


def trace(entry: dict[bytes, bytes]) -> str:
    return zlib.decompress(base64.b64decode(entry[b"exc_string"])).decode()


def starts(file: Path) -> list[float]:
    return [float(row.split(" ")[2]) for row in file.read_text().splitlines() if row.startswith("+")]


def test_twice_failed_and_then_done(jobs: JobQueue, shared: Shared, fleet: Fleet, tmp_path: Path) -> None:
    """J03: it runs three times, each pause about twice the one before, and each attempt is recorded."""
    fleet.start("default")
    job_id = jobs.enqueue(failing(kinds.RETRIED, tmp_path / "log", 2)).id
    assert jobs.outcome(job_id, WAIT).unwrap() == 3
    first, second, third = starts(tmp_path / "log")
    late = 1.5  # what is due is moved once a second, and this machine may be busy
    assert 0.2 <= second - first <= 0.4 + late, "0.4 s, of which a random half is kept"
    assert 0.4 <= third - second <= 0.8 + late
    entries = results(shared, job_id)
    assert [entry[b"type"] for entry in entries] == [RETRIED, RETRIED, DONE]
    assert all("Unavailable: not yet" in trace(entry) for entry in entries[:2])
    info = jobs.status(job_id)
    assert (info.attempts, info.error) == (3, None)


def test_exhausted_is_a_dead_letter_that_can_be_put_back(
    jobs: JobQueue, shared: Shared, fleet: Fleet, tmp_path: Path
) -> None:
    """J03: in RQ's registry of failed jobs, with its error; `rq requeue` and ours run it again."""
    fleet.start("default")
    job_id = jobs.enqueue(failing(kinds.RETRIED, tmp_path / "log", 4)).id
    with pytest.raises(Unavailable, match="not yet"):
        jobs.outcome(job_id, WAIT).unwrap()
    assert [entry[b"type"] for entry in results(shared, job_id)] == [RETRIED, RETRIED, FAILED]
    dead = FailedJobRegistry("default", connection=shared.redis)
    assert dead.get_job_ids(cleanup=False) == [job_id]
    assert [info.id for info in jobs.list(status=JobStatus.FAILED)] == [job_id]
    assert len(starts(tmp_path / "log")) == 3
    jobs.retry(job_id)
    assert jobs.outcome(job_id, WAIT).status == JobStatus.FAILED
    jobs.retry(job_id)
    assert jobs.outcome(job_id, WAIT).unwrap() == 5
    assert dead.get_job_ids(cleanup=False) == []


@pytest.mark.parametrize("how", ["conflict", "value"])
def test_what_is_not_worth_a_retry_runs_once(jobs: JobQueue, fleet: Fleet, tmp_path: Path, how: str) -> None:
    """J03: an error whose class says no, and any that nobody foresaw."""
    fleet.start("default")
    job_id = jobs.enqueue(failing(kinds.RETRIED, tmp_path / "log", 1, how)).id
    assert jobs.outcome(job_id, WAIT).status == JobStatus.FAILED
    assert len(starts(tmp_path / "log")) == 1
    assert jobs.status(job_id).attempts == 1


@pytest.mark.parametrize("how", ["value", "timeout"])
@pytest.mark.parametrize("executor", ["inline", "thread", "asyncio", "process"])
def test_a_kind_names_further_errors(jobs: JobQueue, fleet: Fleet, tmp_path: Path, executor: str, how: str) -> None:
    """J03: `retry_on`, and what passes by itself (time-outs, lost connections), in every executor."""
    fleet.start("default")
    job_id = jobs.enqueue(failing(kinds.RETRIED_BY_CLASS[executor], tmp_path / "log", 1, how)).id
    assert jobs.outcome(job_id, WAIT).unwrap() == 2
    no_more = jobs.enqueue(failing(kinds.RETRIED_BY_CLASS[executor], tmp_path / "log", 9, how)).id
    with pytest.raises(JobFailed):
        jobs.outcome(no_more, WAIT).unwrap()
    assert jobs.status(no_more).attempts == 3


def test_the_pauses_stay_within_their_bounds() -> None:
    """J03: doubled each time, a random half of each kept, five minutes at most."""
    for attempt in range(1, 40):
        whole = min(0.5 * 2 ** (attempt - 1), LONGEST_RETRY_SECONDS)
        drawn = [delay_seconds(0.5, attempt) for _ in range(200)]
        assert whole / 2 <= min(drawn) < max(drawn) <= whole
        assert max(drawn) - min(drawn) > whole / 4, "what failed together comes back apart"
    assert delay_seconds(0.0, 3) == 0.0


def test_a_batch_ends_job_by_job(jobs: JobQueue, fleet: Fleet, tmp_path: Path) -> None:
    """J03: handed over together, each with its own result, failure and retry."""
    lines = ["a", "bad", "b", "later", "c"]
    specs = [
        JobSpec(kind=kinds.TOGETHER, args={"file": str(tmp_path / "log"), "line": line}, project="default")
        for line in [*lines, *"defghijklm"]
    ]
    jobs.enqueue_many(specs)
    fleet.start("default")
    ends = [jobs.outcome(spec.id, WAIT) for spec in specs]
    assert [end.status == JobStatus.FINISHED for end in ends] == [line != "bad" for line in [*lines, *"defghijklm"]]
    assert ends[3].unwrap()["attempt"] == 2
    assert jobs.status(specs[1].id).error == {"code": "conflict", "message": "a bad one", "retry": False}
    assert jobs.status(specs[1].id).attempts == 1
    sizes = [end.unwrap()["together"] for end in ends if end.status == JobStatus.FINISHED]
    assert 1 < max(sizes) <= 8


def test_a_batch_that_fails_as_a_whole_fails_each(jobs: JobQueue, fleet: Fleet, tmp_path: Path) -> None:
    """J03: and takes no other job with it."""
    specs = [
        JobSpec(kind=kinds.TOGETHER, args={"file": str(tmp_path / "log"), "line": line}, project="default")
        for line in ("a", "worst")
    ]
    fleet.start("default")
    jobs.enqueue_many(specs)
    ends = [jobs.outcome(spec.id, WAIT) for spec in specs]
    assert ends[1].status == JobStatus.FAILED
    with pytest.raises(JobFailed):
        ends[1].unwrap()
    again = JobSpec(kind=kinds.TOGETHER, args={"file": str(tmp_path / "log"), "line": "z"}, project="default")
    jobs.enqueue(again)
    assert jobs.outcome(again.id, WAIT).unwrap()["line"] == "z"
