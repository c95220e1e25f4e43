"""RQ's own worker beside ours, or in place of ours: the same jobs, each once, ended alike."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rq import Worker

from ltmc_jobs import keys
from ltmc_jobs.errors import Conflict, JobCancelled
from ltmc_jobs.queues.contract import JobInfo, JobSpec, JobStatus
from ltmc_jobs.queues.waiting import REREAD_SECONDS
from ltmc_jobs.registry import JobKind
from ltmc_jobs.settings import Settings
from ltmc_jobs.shared import Shared
from tests.compatibility import kinds
from tests.compatibility.sides import RQ
from tests.conftest import clean_environment, wait_until
from tests.fleet import ROOT, WorkerProcesses

WAIT = 30.0


class Fleet:
    """Stock workers and ours on one queue."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._ours = WorkerProcesses(settings)
        self._stock: list[subprocess.Popen[bytes]] = []

    def ours(self) -> None:
        self._ours.start("default", module="tests.compatibility.worker")

    def stock(self, *more: str) -> None:
        address = self._settings.redis_address()
        command = [RQ, "worker", "--job-class", "tests.compatibility.stock_job.Job", "--serializer", "json", *more]
        env = clean_environment(self._settings.home, REDIS_URL=address, PYTHONPATH=ROOT)
        command += ["--quiet", "--url", address, "default"]
        self._stock.append(subprocess.Popen(command, env=env, cwd=ROOT))

    def stop(self) -> None:
        self._ours.stop()
        for process in self._stock:
            process.terminate()
        for process in self._stock:
            process.wait(30)
        self._stock.clear()


@pytest.fixture
def fleet(settings: Settings, shared: Shared) -> Iterator[Fleet]:
    started = Fleet(settings)
    yield started
    started.stop()


def spec(kind: JobKind, **args: Any) -> JobSpec:
    return JobSpec(kind=kind, args=args, project="default")


def test_each_job_runs_once_whoever_takes_it(shared: Shared, fleet: Fleet, tmp_path: Path) -> None:
    """J01: with a stock worker and ours on the same queue."""
    fleet.stock()
    fleet.ours()
    wait_until(lambda: Worker.count(connection=shared.redis) == 2, WAIT)
    file = tmp_path / "log"
    ids: list[str] = []
    ran_by: dict[str, int] = {}
    while len(ran_by) < 2 or min(ran_by.values()) < 5:
        assert len(ids) < 400, f"one of them gets no work: {ran_by}"
        job_id = shared.queue.enqueue(spec(kinds.RECORD, file=str(file), line=str(len(ids)))).id
        assert shared.queue.outcome(job_id, WAIT).unwrap() == {"line": str(len(ids))}
        ids.append(job_id)
        worker: Any = shared.redis.hget(f"rq:job:{job_id}", "worker_name")
        ran_by[worker.decode()] = ran_by.get(worker.decode(), 0) + 1
    more = shared.queue.enqueue_many([spec(kinds.RECORD, file=str(file), line=f"many {n}") for n in range(100)])
    for ref in more:
        assert shared.queue.outcome(ref.id, WAIT).status == JobStatus.FINISHED
    lines = file.read_text().splitlines()
    assert len(lines) == len(set(lines)) == len(ids) + 100
    counted = {worker.name: worker.successful_job_count for worker in Worker.all(connection=shared.redis)}
    assert sum(counted.values()) == len(lines)
    assert {shared.queue.status(job_id).attempts for job_id in ids} == {1}


def test_dependents_go_on_from_one_to_the_other(shared: Shared, fleet: Fleet, tmp_path: Path) -> None:
    """J01, J08: parents that a stock worker ran free what waits for them, and the other way round."""
    parents = [spec(kinds.ADD, a=n, b=n) for n in range(6)]
    child = JobSpec(kinds.ADD, {"a": 1, "b": 1}, "default", depends_on=tuple(one.id for one in parents))
    shared.queue.enqueue_many([*parents, child])
    fleet.stock()
    fleet.ours()
    assert shared.queue.outcome(child.id, WAIT).unwrap() == 2


async def test_waiters_hear_of_what_a_stock_worker_ran(shared: Shared, fleet: Fleet, tmp_path: Path) -> None:
    """J01: the blocking and the asyncio waiter, without waiting for their next look."""
    fleet.stock()
    one, bad = spec(kinds.WAIT_FOR, file=str(tmp_path / "gate")), spec(kinds.TURN_AWAY)
    await shared.async_queue.enqueue(one)
    waiting = asyncio.create_task(shared.async_queue.outcome(one.id, WAIT))
    beside = asyncio.create_task(asyncio.to_thread(shared.queue.outcome, one.id, WAIT))
    await asyncio.to_thread(wait_until, lambda: shared.queue.status(one.id).status == JobStatus.STARTED, WAIT)
    (tmp_path / "gate").touch()
    began = time.monotonic()
    assert (await waiting).unwrap() == (await beside).unwrap() == "seen"
    assert time.monotonic() - began < REREAD_SECONDS * 0.75
    await shared.async_queue.enqueue(bad)
    with pytest.raises(Conflict, match="it does not fit"):
        (await shared.async_queue.outcome(bad.id, WAIT)).unwrap()
    await shared.async_redis.aclose()


def test_both_end_a_job_alike(shared: Shared, fleet: Fleet, tmp_path: Path) -> None:
    """J01, J03, J10: the same errors, attempts, progress and log lines, whoever runs it."""

    def run(name: str) -> dict[str, JobInfo]:
        specs = {
            "refused": spec(kinds.TURN_AWAY),
            "unfit": spec(kinds.BE_UNFIT),
            "failed": spec(kinds.FAIL, file=str(tmp_path / f"{name} failed"), times=9),
            "lucky": spec(kinds.BREAK_OFF, file=str(tmp_path / f"{name} lucky"), times=1),
            "gone": spec(kinds.BREAK_OFF, file=str(tmp_path / f"{name} gone"), times=9),
            "late": spec(kinds.BRIEF, file=str(tmp_path / "never")),
            "told": spec(kinds.TELL, file=str(tmp_path / f"{name} gate")),
        }
        shared.queue.enqueue_many(list(specs.values()))
        told = specs["told"].id
        wait_until(lambda: "log" in shared.queue.status(told).meta, WAIT)
        during = shared.queue.status(told).meta
        assert during["progress"] == {"done": 1, "total": 2, "message": "half"}
        assert during["log"] == ["a line"]
        (tmp_path / f"{name} gate").touch()
        for one in specs.values():
            shared.queue.outcome(one.id, WAIT)
        return {label: shared.queue.status(one.id) for label, one in specs.items()}

    fleet.ours()
    ours = run("ours")
    fleet.stop()
    fleet.stock("--with-scheduler")
    stock = run("stock")
    for label, info in ours.items():
        other = stock[label]
        assert (other.status, other.result, other.attempts) == (info.status, info.result, info.attempts), label
        assert error(other) == error(info), label
        assert set(other.meta) == set(info.meta), label
    assert (ours["gone"].attempts, ours["lucky"].attempts, ours["refused"].attempts) == (3, 2, 1)
    failed: Any = ours["late"].error
    assert failed["code"] == "job_timeout"


def error(info: JobInfo) -> dict[str, Any]:
    """Without the job's own id."""
    return {name: value for name, value in (info.error or {}).items() if name != "details"}


def test_a_job_at_a_stock_worker_is_cancelled(shared: Shared, fleet: Fleet, tmp_path: Path) -> None:
    """J11: it is stopped, and whoever waits hears of it."""
    fleet.stock()
    job_id = shared.queue.enqueue(spec(kinds.WAIT_FOR, file=str(tmp_path / "never"))).id
    wait_until(lambda: shared.queue.status(job_id).status == JobStatus.STARTED, WAIT)
    assert shared.queue.cancel(job_id) is True
    with pytest.raises(JobCancelled):
        shared.queue.outcome(job_id, WAIT).unwrap()
    assert shared.queue.status(job_id).status == JobStatus.STOPPED


def test_a_stock_worker_refuses_what_ours_refuse(shared: Shared, fleet: Fleet) -> None:
    """X12: also without `--serializer json`, where RQ itself would unpickle; and it says that it never began."""
    fleet.stock("--serializer", "pickle")
    job_id = shared.queue.enqueue(spec(kinds.ADD, a=1, b=1)).id
    shared.redis.hset(f"rq:job:{job_id}", "success_callback_name", "os.system")
    good = shared.queue.enqueue(spec(kinds.ADD, a=1, b=1)).id
    assert shared.queue.outcome(good, WAIT).unwrap() == 2
    info = shared.queue.status(job_id)
    assert (info.status, info.attempts, (info.error or {})["code"]) == (JobStatus.FAILED, 0, "envelope_refused")
    listed: Any = shared.redis.lrange(keys.key(keys.INSTALLATION, "refused"), 0, -1)
    assert job_id in listed[0].decode()
