"""What dead workers held comes back, whatever the moment of their death."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ltmc_jobs.queues.contract import JobSpec, JobStatus
from ltmc_jobs.queues.repair import find_lost, put_lost_back
from ltmc_jobs.settings import Settings
from ltmc_jobs.shared import Shared
from tests import queue_kinds as kinds
from tests.conftest import wait_until
from tests.fleet import WorkerProcesses, open_installation
from workers import processes
from workers.record import Process
from workers.recovery import WorkerName, take_back


@pytest.fixture
def shared(settings: Settings) -> Iterator[Shared]:
    opened = open_installation(settings)
    yield opened
    opened.close()


def test_a_job_in_no_list_is_put_back_once(shared: Shared) -> None:
    """What a worker on two queues leaves when it dies between taking a job and saying so."""
    specs = [JobSpec(kind=kinds.ECHO, args={"n": n}, project="default") for n in range(3)]
    shared.queue.enqueue_many(specs)
    assert find_lost(shared.redis) == {}
    shared.redis.lpop("rq:queue:default")
    shared.redis.lmove("rq:queue:default", "rq:queue:default:intermediate")
    lost = {spec.id for spec in specs[:2]}
    assert set(find_lost(shared.redis)) == lost
    assert set(put_lost_back(shared.redis)) == lost
    assert put_lost_back(shared.redis) == []
    assert shared.redis.llen("rq:queue:default") == 3
    assert shared.redis.llen("rq:queue:default:intermediate") == 0


@pytest.mark.parametrize("queues", [("default",), ("default", "low")])
def test_no_job_is_lost_to_kills_at_any_moment(
    shared: Shared, settings: Settings, tmp_path: Path, queues: tuple[str, ...]
) -> None:
    """Rows J01 and A01 rest on this: 12 kill -9 at random moments, every job ends, in success."""
    log = tmp_path / "log"
    specs = [
        JobSpec(kind=kinds.APPEND, args={"file": str(log), "line": str(n), "seconds": 0.002}, project="default")
        for n in range(150)
    ]
    shared.queue.enqueue_many(specs)
    fleet = WorkerProcesses(settings)
    moments = random.Random(7)
    for _ in range(12):
        worker = fleet.start(*queues)
        while not shared.redis.smembers("rq:workers"):
            time.sleep(0.01)
        time.sleep(0.05 + moments.random() * 0.15)
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        fleet.processes.remove(worker)
    fleet.start(*queues)
    for spec in specs:
        assert shared.queue.outcome(spec.id, 20).unwrap() == {"line": spec.args["line"]}
    fleet.stop()
    assert set(log.read_text().split()) == {str(n) for n in range(150)}


class Held:
    """A job that a worker held when it was killed, and the name under which RQ knows that worker from then on."""

    def __init__(self, shared: Shared, settings: Settings, file: Path) -> None:
        self.shared = shared
        self.spec = JobSpec(kind=kinds.REPORT, args={"file": str(file)}, project="default")
        shared.queue.enqueue(self.spec)
        worker = WorkerProcesses(settings).start("default")
        wait_until(lambda: self.status == JobStatus.STARTED, 20)
        worker.kill()
        worker.wait()
        self.key = f"rq:job:{self.spec.id}"
        self.name = shared.redis.hget(self.key, "worker_name").decode()  # type: ignore[union-attr]

    @property
    def status(self) -> JobStatus:
        return self.shared.queue.status(self.spec.id).status

    def by(self, name: WorkerName, *, registered: bool = True) -> None:
        self.shared.redis.delete("rq:workers")
        self.shared.redis.hset(self.key, "worker_name", str(name))
        if registered:
            self.shared.redis.sadd("rq:workers", f"rq:worker:{name}")


@pytest.fixture
def held(shared: Shared, settings: Settings, tmp_path: Path) -> Held:
    return Held(shared, settings, tmp_path / "end")


def test_a_dead_process_of_this_place_is_known_at_once(shared: Shared, held: Held) -> None:
    assert WorkerName.read(held.name) is not None
    assert take_back(shared.redis) == 1
    assert held.status == JobStatus.QUEUED
    assert take_back(shared.redis) == 0


def test_a_pid_that_was_given_out_again_is_dead(shared: Shared, held: Held) -> None:
    """A container that is started again repeats its pids."""
    own = WorkerName.own("tests")
    held.by(own)
    assert take_back(shared.redis, elsewhere=True) == 0, "we live"
    held.by(own._replace(started=own.started - 500))
    assert take_back(shared.redis) == 1
    assert held.status == JobStatus.QUEUED


def test_another_host_of_the_same_name_keeps_its_jobs_while_it_is_heard_of(shared: Shared, held: Held) -> None:
    other = WorkerName.own("tests")._replace(pid=4_000_000, place="0" * 8)
    held.by(other)
    shared.heartbeats.beat(str(other), ["default"])
    assert take_back(shared.redis, elsewhere=True) == 0
    shared.heartbeats.leave(str(other), ["default"])
    assert take_back(shared.redis) == 0, "that is left to the sweep"
    assert held.status == JobStatus.STARTED
    assert take_back(shared.redis, elsewhere=True) == 1
    assert held.status == JobStatus.QUEUED


def test_a_worker_that_said_farewell_and_kept_its_job_loses_it(shared: Shared, held: Held) -> None:
    """What is left when Redis is full as a job ends."""
    held.by(WorkerName.own("tests"), registered=False)
    assert take_back(shared.redis) == 1
    assert held.status == JobStatus.QUEUED


def test_a_worker_that_slept_and_is_heard_of_again_keeps_its_job(shared: Shared, held: Held) -> None:
    """It was buried in its sleep; RQ never lists it again."""
    other = WorkerName.own("tests")._replace(pid=4_000_000, place="0" * 8)
    held.by(other, registered=False)
    shared.heartbeats.beat(str(other), ["default"])
    assert take_back(shared.redis, elsewhere=True) == 0
    assert held.status == JobStatus.STARTED


def test_a_process_is_known_whatever_the_clock_says() -> None:
    """On Linux its start is counted from the boot."""
    own = Process.of(os.getpid())
    assert own.find() is not None
    assert processes.find(os.getpid(), own.started + 1) is None or sys.platform != "linux"
    if sys.platform == "linux":
        assert own.started < time.clock_gettime(time.CLOCK_BOOTTIME)


def test_a_job_that_ended_while_redis_was_full_is_run_again(shared: Shared, settings: Settings, tmp_path: Path) -> None:
    fleet = WorkerProcesses(settings)
    fleet.start("default")
    spec = JobSpec(kind=kinds.REPORT, args={"file": str(tmp_path / "end")}, project="default")
    shared.queue.enqueue(spec)
    wait_until(lambda: shared.queue.status(spec.id).status == JobStatus.STARTED, 20)
    before = shared.redis.config_get("maxmemory")["maxmemory"]
    shared.redis.config_set("maxmemory", "1")
    try:
        (tmp_path / "end").touch()
        wait_until(lambda: fleet.processes[0].poll() is not None, 20, "the worker gives up")
        assert shared.queue.status(spec.id).status == JobStatus.STARTED
    finally:
        shared.redis.config_set("maxmemory", before)
    fleet.start("default")
    assert shared.queue.outcome(spec.id, 20).unwrap()["cancelled"] is False
    for process in fleet.processes[1:]:
        process.terminate()
        assert process.wait(20) == 0
