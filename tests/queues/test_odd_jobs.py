"""What nobody should write into Redis, and what goes wrong beside a job, costs its neighbours nothing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from ltmc_jobs.errors import EnvelopeRefused, InvalidArguments, JobCancelled, NotFound
from ltmc_jobs.queues import control
from ltmc_jobs.queues.claims import Claims, Ending, Run, as_result, bury
from ltmc_jobs.queues.contract import JobSpec, JobStatus, new_job_id
from ltmc_jobs.queues.queue import JobQueue
from ltmc_jobs.settings import Settings
from ltmc_jobs.shared import Shared
from tests import queue_kinds as kinds
from tests.fleet import WorkerProcesses
from workers.journal import Journal
from workers.recovery import journals

WAIT = 20.0


@pytest.fixture
def fleet(settings: Settings, shared: Shared) -> Any:
    processes = WorkerProcesses(settings)
    yield processes
    processes.stop()


def echo(n: int = 0, **options: Any) -> JobSpec:
    return JobSpec(kind=kinds.ECHO, args={"n": n}, project="default", **options)


@pytest.mark.parametrize(
    "data",
    [
        b'["x.y",null,[{"signature":"a:b","n":NaN}],{}]',
        b'["x.y",null,[' + b"[" * 200_000,
        b'["x.y",null,[{"signature":"\xff\xfe"}],{}]',
        b"\x80\x04\x95",
    ],
)
def test_an_unreadable_job_is_refused_and_its_neighbours_run(
    jobs: JobQueue, shared: Shared, fleet: WorkerProcesses, data: bytes
) -> None:
    """X12: whatever stands in a job's data, no worker dies of it."""
    planted = new_job_id()
    shared.redis.hset(f"rq:job:{planted}", mapping={"data": data, "status": "queued", "origin": "default"})
    shared.redis.rpush("rq:queue:default", planted)
    after = jobs.enqueue(echo(1))
    worker = fleet.start("default")
    assert jobs.outcome(after.id, WAIT).unwrap()["given"] == {"n": 1}
    with pytest.raises(EnvelopeRefused):
        jobs.outcome(planted, WAIT).unwrap()
    assert worker.poll() is None


def test_a_job_moved_by_hand_ends_where_it_was_moved_to(jobs: JobQueue, shared: Shared, fleet: WorkerProcesses) -> None:
    job_id = jobs.enqueue(JobSpec(kind=kinds.ECHO_LOW, args={}, project="default")).id
    shared.redis.rpoplpush("rq:queue:low", "rq:queue:default")
    fleet.start("default")
    jobs.outcome(job_id, WAIT).unwrap()
    assert jobs.status(job_id).status == JobStatus.FINISHED
    assert shared.redis.zcard("rq:wip:default") == shared.redis.zcard("rq:wip:low") == 0


def test_a_key_of_another_type_costs_one_job_alone(jobs: JobQueue, shared: Shared) -> None:
    ids = [ref.id for ref in jobs.enqueue_many([echo(n) for n in range(3)])]
    claims = Claims(shared.redis, "one", ["default"], {"queues": "default"})
    held = claims.tick([], 3).claims
    shared.redis.set(f"rq:results:{ids[1]}", "planted")
    runs = [Run(one.job_id, one.execution, Ending.DONE, as_result("x"), "", 0, 1.0, 2.0) for one in held]
    claims.tick(runs, 0)
    assert [jobs.status(job_id).status for job_id in ids] == [JobStatus.FINISHED] * 3


def test_ids_that_name_other_keys_are_turned_away(jobs: JobQueue) -> None:
    with pytest.raises(InvalidArguments):
        jobs.enqueue_many([echo(), echo(depends_on=("p1:dependents",))])
    assert jobs.counts()["default"]["queued"] == 0, "nothing is written"
    for ask in (jobs.status, jobs.cancel, jobs.retry, jobs.why, lambda odd: jobs.outcome(odd, 0)):
        with pytest.raises(NotFound):
            ask("abc:dependents")


def test_stopped_jobs_are_listed(jobs: JobQueue, shared: Shared) -> None:
    job_id = jobs.enqueue(echo()).id
    claims = Claims(shared.redis, "one", ["default"], {"queues": "default"})
    (claim,) = claims.tick([], 1).claims
    assert jobs.cancel(job_id) is True
    assert claims.renew().cancelled == [job_id], "also where the call that told of it is lost"
    claims.tick([Run(job_id, claim.execution, Ending.STOPPED)], 0)
    assert [info.id for info in jobs.list(status=JobStatus.STOPPED)] == [job_id]
    with pytest.raises(JobCancelled):
        jobs.outcome(job_id, 1).unwrap()


def test_who_is_heard_of_no_more_again_and_again_runs_its_job_alone(jobs: JobQueue, shared: Shared) -> None:
    """A job that silences its worker (it holds the interpreter, say) would otherwise go round for ever."""
    job_id = jobs.enqueue(echo()).id
    alone = []
    for number in range(4):
        claims = Claims(shared.redis, f"worker-{number}", ["default"], {"queues": "default"})
        (claim,) = claims.tick([], 1, alone=1).claims
        alone.append(claim.alone)
        bury(shared.redis, claims.worker, Ending.AGAIN, queues=["default"])
    assert alone == [False, False, False, True]
    assert jobs.status(job_id).attempts == 4


def test_a_worker_that_died_long_ago_leaves_no_name_behind(shared: Shared) -> None:
    claims = Claims(shared.redis, "old", ["default"], {"queues": "default"})
    claims.renew()
    claims.tick([], 1)
    shared.redis.delete("rq:worker:old")
    bury(shared.redis, "old", Ending.AGAIN)
    assert list(shared.redis.scan_iter("*idle*")) == []
    assert shared.redis.smembers("rq:workers:default") == set()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_journal_on_a_full_disk_stops_nothing(settings: Settings) -> None:
    written = Journal(journals(settings), "h.pool.1.2.x")
    own, written._descriptor = written._descriptor, os.open("/dev/full", os.O_WRONLY)
    written.begin("a:b")
    written.end(Run("a", "b", Ending.DONE))
    os.close(written._descriptor)
    written._descriptor = own
    written.begin("c:d")
    assert written.file.read_text() == "S c:d\n"
    written.close()


def test_a_job_that_asks_waits_for_its_answers_alone(jobs: JobQueue, shared: Shared) -> None:
    """J02: a parent that failed, was put back and has finished now does not set it going a second time."""
    parent = jobs.enqueue(echo(1))
    child = jobs.enqueue(echo(2, depends_on=(parent.id,)))
    shared.redis.hset(f"rq:job:{child.id}", "allow_dependency_failures", 1)
    claims = Claims(shared.redis, "ours", ("default",))
    claims.renew()

    def run_next(ending: Ending, payload: str) -> str:
        (claim,) = claims.tick([], 1).claims
        claims.tick([Run(claim.job_id, claim.execution, ending, payload, "{}", 0.0, 1.0, 2.0)], 0)
        return claim.job_id

    assert run_next(Ending.FINAL, "") == parent.id
    assert run_next(Ending.ASKS, '{"questions": {"colour": {}}, "first": true}') == child.id
    jobs.retry(parent.id)
    assert run_next(Ending.DONE, as_result(1)) == parent.id
    assert jobs.status(child.id).shown_status == "input_required"
    assert claims.tick([], 1).claims == []
    assert control.answer(shared.redis, child.id, {"colour": "red"}, shared.keys) == []
    assert run_next(Ending.DONE, as_result(2)) == child.id
    shown = shared.redis.hgetall("rq:worker:ours")
    assert (shown[b"successful_job_count"], shown[b"failed_job_count"]) == (b"2", b"1"), "to ask is no failure"
