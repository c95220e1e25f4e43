"""What dead workers held comes back, whatever the moment of their death; what they had ended stays ended."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

import pytest

from ltmc_jobs import keys
from ltmc_jobs.queues.claims import Claims, Ending, Run, as_result, bury
from ltmc_jobs.queues.contract import JobSpec, JobStatus
from ltmc_jobs.settings import Settings
from ltmc_jobs.shared import Shared
from tests import queue_kinds as kinds
from tests.conftest import wait_until
from tests.fleet import WorkerProcesses
from workers import journal, processes
from workers.journal import Journal
from workers.record import Process
from workers.recovery import WorkerName, journals, take_back

LEASES = keys.key(keys.INSTALLATION, "lease")
GONE = 4_000_000  # a pid that no system gives out


def echoes(shared: Shared, count: int) -> list[str]:
    specs = [JobSpec(kind=kinds.ECHO, args={"n": n}, project="default") for n in range(count)]
    return [ref.id for ref in shared.queue.enqueue_many(specs)]


def waiting(shared: Shared) -> list[str]:
    ids: list[bytes] = shared.redis.lrange("rq:queue:default", 0, -1)  # type: ignore[assignment]
    return [job_id.decode() for job_id in ids]


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
        wait_until(lambda: shared.heartbeats.serving(), 20)
        time.sleep(0.05 + moments.random() * 0.15)
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        fleet.processes.remove(worker)
    fleet.start(*queues)
    for spec in specs:
        assert shared.queue.outcome(spec.id, 30).unwrap() == {"line": spec.args["line"]}
    fleet.stop()
    assert set(log.read_text().split()) == {str(n) for n in range(150)}


def test_a_journal_brings_home_what_was_ended_and_names_what_was_begun(shared: Shared, settings: Settings) -> None:
    """Of five claimed jobs one has ended, one was running, three had not begun."""
    ids = echoes(shared, 5)
    name = str(WorkerName.own("tests")._replace(pid=GONE))
    claims = Claims(shared.redis, name, ["default"], {"queues": "default"})
    claims.renew()
    held = claims.tick([], 1, 4).claims
    assert [claim.job_id for claim in held] == ids
    written = Journal(journals(settings), name)
    for claim in held[:2]:
        written.begin(claim.member)
    written.end(Run(held[0].job_id, held[0].execution, Ending.DONE, as_result({"n": 0}), "", 0.0, 1.0, 2.0))
    assert take_back(shared.redis, journals(settings)) == 4
    assert take_back(shared.redis, journals(settings)) == 0
    assert shared.queue.outcome(ids[0], 0).unwrap() == {"n": 0}
    assert sorted(waiting(shared)) == sorted(ids[1:])
    other = Claims(shared.redis, "other", ["default"])
    again = {claim.job_id: claim for claim in other.tick([], 9).claims}
    assert [claim.alone for claim in map(again.get, ids[1:]) if claim] == [True, False, False, False]
    assert [again[job_id].attempt for job_id in ids[1:]] == [2, 1, 1, 1], "not begun is no attempt"


def test_a_line_that_was_not_finished_is_left_out(tmp_path: Path) -> None:
    file = tmp_path / f"worker{journal.SUFFIX}"
    run = Run("job", "execution", Ending.FAILED, "", "", 1.5, 1.0, 2.0)
    with_end = Journal(tmp_path, "worker")
    with_end.begin("job:execution")
    with_end.begin("other:one")
    with_end.end(run)
    file.write_bytes(file.read_bytes() + b'D ["half", "a l')
    found = journal.read(file)
    assert (found.ended, found.begun) == ([run], {"other:one"})


def test_a_living_worker_keeps_what_it_holds(shared: Shared, settings: Settings) -> None:
    """A pid is the same process only if it started then: containers repeat pids."""
    own = WorkerName.own("tests")
    for name, taken in ((own, 0), (own._replace(started=own.started - 500), 1)):
        (job_id,) = echoes(shared, 1)
        claims = Claims(shared.redis, str(name), ["default"], {"queues": "default"})
        claims.renew()
        assert [claim.job_id for claim in claims.tick([], 1).claims] == [job_id]
        assert take_back(shared.redis, journals(settings)) == taken
        assert (waiting(shared) == [job_id]) == bool(taken)
        claims.leave()
        shared.redis.delete("rq:queue:default")


def test_another_host_keeps_its_jobs_until_its_lease_has_ended(shared: Shared, settings: Settings) -> None:
    other = WorkerName.own("tests")._replace(pid=GONE, place="0" * 8)
    (job_id,) = echoes(shared, 1)
    claims = Claims(shared.redis, str(other), ["default"], {"queues": "default"})
    claims.renew()
    claims.tick([], 1)
    assert take_back(shared.redis, journals(settings)) == 0
    assert bury(shared.redis, str(other), Ending.AGAIN, lease_ended_seconds=0.0) is None
    assert shared.queue.status(job_id).status == JobStatus.STARTED
    shared.redis.zadd(LEASES, {str(other): 1.0})
    assert bury(shared.redis, str(other), Ending.AGAIN, lease_ended_seconds=0.0) == (1, 0)
    assert waiting(shared) == [job_id]


def test_who_was_buried_in_its_sleep_changes_nothing(shared: Shared) -> None:
    """Row J17: its job went to another; its own late result is refused."""
    (job_id,) = echoes(shared, 1)
    sleeper = Claims(shared.redis, "sleeper", ["default"], {"queues": "default"})
    sleeper.renew()
    (claim,) = sleeper.tick([], 1).claims
    shared.redis.zadd(LEASES, {"sleeper": 1.0})
    assert bury(shared.redis, "sleeper", Ending.AGAIN, lease_ended_seconds=0.0) == (1, 0)
    (second,) = Claims(shared.redis, "other", ["default"]).tick([], 1).claims
    late = sleeper.tick([Run(job_id, claim.execution, Ending.DONE, as_result("late"))], 0)
    assert late.refused == [claim.member]
    assert second.attempt == 2
    assert shared.queue.status(job_id).status == JobStatus.STARTED


def test_a_hung_process_is_found_out_and_its_job_runs_elsewhere_once(
    shared: Shared, settings: Settings, tmp_path: Path
) -> None:
    """Row J17: within the lease and a round of the leader's, far below 60 s."""
    fleet = WorkerProcesses(settings)
    hung = fleet.start("default", pool="hung")
    spec = JobSpec(kind=kinds.REPORT, args={"file": str(tmp_path / "go")}, project="default")
    shared.queue.enqueue(spec)
    wait_until(lambda: shared.queue.status(spec.id).status == JobStatus.STARTED, 20)
    hung.send_signal(signal.SIGSTOP)
    stopped = time.monotonic()
    fleet.start("default", pool="other")
    (tmp_path / "go").touch()
    assert shared.queue.outcome(spec.id, 40).unwrap()["cancelled"] is False
    assert time.monotonic() - stopped < 30
    hung.send_signal(signal.SIGCONT)
    assert fleet.stop() == [0, 0]
    assert shared.queue.status(spec.id).attempts == 2


def test_a_process_is_known_whatever_the_clock_says() -> None:
    """On Linux its start is counted from the boot."""
    own = Process.of(os.getpid())
    assert own.find() is not None
    assert processes.find(os.getpid(), own.started + 1) is None or sys.platform != "linux"
    if sys.platform == "linux":
        assert own.started < time.clock_gettime(time.CLOCK_BOOTTIME)


def test_a_job_that_ended_while_redis_was_full_has_ended_once(
    shared: Shared, settings: Settings, tmp_path: Path
) -> None:
    """Its worker lives on, and keeps the result until it can be written."""
    fleet = WorkerProcesses(settings)
    fleet.start("default")
    spec = JobSpec(kind=kinds.REPORT, args={"file": str(tmp_path / "end")}, project="default")
    shared.queue.enqueue(spec)
    wait_until(lambda: shared.queue.status(spec.id).status == JobStatus.STARTED, 20)
    before = shared.redis.config_get("maxmemory")["maxmemory"]
    shared.redis.config_set("maxmemory", "1")
    try:
        (tmp_path / "end").touch()
        time.sleep(1.0)  # long enough for several vain attempts
        assert fleet.processes[0].poll() is None
        assert shared.queue.status(spec.id).status == JobStatus.STARTED
    finally:
        shared.redis.config_set("maxmemory", before)
    assert shared.queue.outcome(spec.id, 20).unwrap()["cancelled"] is False
    assert shared.queue.status(spec.id).attempts == 1
    assert fleet.stop() == [0]
