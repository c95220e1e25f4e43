"""The job queue, from end to end over a server and workers of its own: `python tests/test_redis_queue.py`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

if __name__ == "__main__":
    os.execv(sys.executable, [sys.executable, "-m", "pytest", "-v", str(Path(__file__).resolve())])

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from rq.job import Job
from rq.serializers import JSONSerializer

from ltmc_jobs.errors import Conflict, EnvelopeRefused, InvalidArguments, JobFailed
from ltmc_jobs.queues.contract import JobSpec, new_job_id
from ltmc_jobs.shared import Shared
from tests import queue_kinds as kinds
from tests.conftest import wait_until
from tests.fleet import WorkerProcesses

SECONDS = 20
# What differs between two jobs that are alike otherwise.
OWN = {b"data", b"created_at", b"enqueued_at", b"started_at", b"ended_at", b"last_heartbeat"}


@pytest.fixture
def fleet(shared: Shared) -> Iterator[WorkerProcesses]:
    """A worker process, which still lives and ends in order when the test is over."""
    made = WorkerProcesses(shared.settings)
    made.start("default", "low")
    yield made
    assert 0 in made.stop()


def spec_of(kind: Any, **more: Any) -> JobSpec:
    args = more.pop("args", {})
    return JobSpec(kind=kind, args=args, project="default", **more)


def fields_of(shared: Shared, job_id: str) -> dict[bytes, bytes]:
    found: Any = shared.redis.hgetall(f"rq:job:{job_id}")
    return dict(found)


async def close(shared: Shared) -> None:
    """End what listens first: cut off, it would be connecting again while the loop ends."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await shared.async_redis.aclose()


def test_j26_a_job_goes_in_and_its_result_comes_out(shared: Shared, fleet: WorkerProcesses) -> None:
    """J26: and RQ itself reads both."""
    spec = spec_of(kinds.ECHO, args={"word": "héllo \U0001f41d"})
    shared.queue.enqueue(spec)
    result = shared.queue.outcome(spec.id, SECONDS).unwrap()
    assert result == {"given": {"word": "héllo \U0001f41d"}, "attempt": 1, "project": "default"}
    job = Job.fetch(spec.id, connection=shared.redis, serializer=JSONSerializer)
    assert (job.get_status(), job.return_value()) == ("finished", result)


def test_j14_async_enqueue_is_the_same_path(shared: Shared, fleet: WorkerProcesses) -> None:
    """J14: a worker picks the job up, and its hash holds what that of a job enqueued without asyncio holds."""
    ids = {name: new_job_id() for name in ("sync", "async")}
    specs = {name: spec_of(kinds.ECHO, args={"word": "same"}, id=ids[name]) for name in ids}

    async def enqueue() -> tuple[bool, bool, Any]:
        first = await shared.async_queue.enqueue(specs["async"])
        again = await shared.async_queue.enqueue(specs["async"])
        outcome = await shared.async_queue.outcome(ids["async"], SECONDS)
        await close(shared)
        return first.created, again.created, outcome.unwrap()

    shared.queue.enqueue(specs["sync"])
    expected = shared.queue.outcome(ids["sync"], SECONDS).unwrap()
    assert asyncio.run(enqueue()) == (True, False, expected)
    held = {name: fields_of(shared, job_id) for name, job_id in ids.items()}
    assert set(held["sync"]) == set(held["async"])
    assert {k: v for k, v in held["sync"].items() if k not in OWN} == {
        k: v for k, v in held["async"].items() if k not in OWN
    }
    assert held["async"][b"worker_name"] == held["sync"][b"worker_name"]


def test_j14_before_a_worker_comes_they_are_alike_too(shared: Shared) -> None:
    """But for whom to tell of the end: an event loop waits for its own jobs."""
    specs = [spec_of(kinds.ECHO, args={"word": "same"}, id=new_job_id()) for _ in range(2)]

    async def enqueue() -> None:
        await shared.async_queue.enqueue(specs[1])
        await close(shared)

    shared.queue.enqueue(specs[0])
    asyncio.run(enqueue())
    sync, asynchronous = (fields_of(shared, spec.id) for spec in specs)
    assert asynchronous.pop(b"ltmc_waiters")
    assert set(sync) == set(asynchronous)
    assert [sync[name] for name in sorted(sync.keys() - OWN)] == [
        asynchronous[name] for name in sorted(sync.keys() - OWN)
    ]
    queued: Any = shared.redis.lrange("rq:queue:default", 0, -1)
    assert [one.decode() for one in queued] == [spec.id for spec in specs]


def test_j26_a_planted_failure_is_told_and_does_no_other_harm(shared: Shared, fleet: WorkerProcesses) -> None:
    """J26: a job that fails stands between two that do not."""
    before, failing, refused, after = (
        spec_of(kinds.ECHO, args={"n": 1}),
        spec_of(kinds.CRASH),
        spec_of(kinds.REFUSE, args={"file": str(shared.settings.home / "refused")}),
        spec_of(kinds.ECHO, args={"n": 2}),
    )
    shared.queue.enqueue_many([before, failing, refused, after])
    for spec, number in ((before, 1), (after, 2)):
        assert shared.queue.outcome(spec.id, SECONDS).unwrap()["given"] == {"n": number}
    with pytest.raises(JobFailed, match="its id leads to the cause"):
        shared.queue.outcome(failing.id, SECONDS).unwrap()
    with pytest.raises(Conflict, match="it does not fit"):
        shared.queue.outcome(refused.id, SECONDS).unwrap()
    result = Job.fetch(failing.id, connection=shared.redis, serializer=JSONSerializer).latest_result()
    assert result is not None
    assert "ZeroDivisionError" in str(result.exc_string)
    assert shared.queue.counts()["default"]["failed"] == 2


def test_j26_a_worker_killed_at_its_job_loses_none(shared: Shared, fleet: WorkerProcesses) -> None:
    """J26: the failure planted in the process itself; another one does the job, and those that waited behind it."""
    died = str(shared.settings.home / "died")
    deadly = spec_of(kinds.DIE_ONCE, args={"file": died})
    waiting = [spec_of(kinds.ECHO, args={"n": number}) for number in range(20)]
    shared.queue.enqueue_many([deadly, *waiting])
    wait_until(lambda: fleet.processes[0].poll() is not None, SECONDS, "the worker dies")
    assert Path(died).exists()
    fleet.start("default", "low")
    assert shared.queue.outcome(deadly.id, SECONDS).unwrap() == {"lived": True}
    for number, spec in enumerate(waiting):
        assert shared.queue.outcome(spec.id, SECONDS).unwrap()["given"] == {"n": number}
    assert shared.queue.counts()["default"]["failed"] == 0


def test_j26_what_cannot_travel_is_refused_before_anything_is_written(shared: Shared) -> None:
    with pytest.raises(InvalidArguments, match="not JSON"):
        shared.queue.enqueue(spec_of(kinds.ECHO, args={"thing": object()}))
    assert shared.redis.keys("rq:*") == []


def test_j26_a_forged_job_is_set_aside_and_the_next_one_runs(shared: Shared, fleet: WorkerProcesses) -> None:
    """J26: a job whose words were changed in Redis; it never runs."""
    file = shared.settings.home / "forged"
    forged, honest = spec_of(kinds.APPEND, args={"file": str(file), "line": "honest"}), spec_of(kinds.ECHO)
    shared.queue.pause("default", "a forger is at work")
    shared.queue.enqueue_many([forged, honest])
    data = fields_of(shared, forged.id)[b"data"]
    shared.redis.hset(f"rq:job:{forged.id}", "data", data.replace(b"honest", b"forged"))
    shared.queue.resume("default")
    assert shared.queue.outcome(honest.id, SECONDS).unwrap()["attempt"] == 1
    info = wait_until(lambda: (told := shared.queue.status(forged.id)).status.is_final and told, SECONDS)
    assert info.error is not None
    assert info.error["code"] == "envelope_refused"
    assert not file.exists()
    with pytest.raises(EnvelopeRefused, match="signature"):
        shared.queue.outcome(forged.id, 1).unwrap()
