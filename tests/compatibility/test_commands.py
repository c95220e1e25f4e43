"""RQ's own commands and Job.cancel on our jobs."""

from __future__ import annotations

from pathlib import Path

import pytest
from rq import Worker
from rq.job import Dependency

from ltmc_jobs.errors import Conflict
from ltmc_jobs.queues.contract import JobStatus
from ltmc_jobs.queues.for_rq.queue import Queue
from ltmc_jobs.shared import Shared
from tests.compatibility import kinds
from tests.compatibility.jobs import WAIT, begin, gone, put, put_old, reaches
from tests.compatibility.sides import rq_command
from tests.fleet import WorkerProcesses


def test_rqs_commands_requeue_and_empty(shared: Shared, fleet: WorkerProcesses) -> None:
    """J01: `rq requeue` of one and of all, `rq empty` of one queue and of all; the jobs run again."""
    begin(fleet)
    address = shared.settings.redis_address()
    ids = [put(shared, kinds.TURN_AWAY), put_old(shared, kinds.TURN_AWAY)]
    for job_id in ids:
        reaches(shared, job_id, JobStatus.FAILED, 1)
    assert rq_command(address, "requeue", "--serializer", "json", "--queue", "default", ids[0]).returncode == 0
    reaches(shared, ids[0], JobStatus.FAILED, 2)
    assert rq_command(address, "requeue", "--serializer", "json", "--queue", "default", "--all").returncode == 0
    reaches(shared, ids[0], JobStatus.FAILED, 3)
    reaches(shared, ids[1], JobStatus.FAILED, 2)
    # Without the serializer RQ writes a pickle where the name and the project stood; the job itself is whole.
    assert rq_command(address, "requeue", "--queue", "default", ids[1]).returncode == 0
    reaches(shared, ids[1], JobStatus.FAILED, 3)
    with pytest.raises(Conflict, match="it does not fit"):
        shared.queue.outcome(ids[1], WAIT).unwrap()
    assert set(fleet.stop()) <= {0}
    fleet.processes.clear()
    waiting = [put(shared, kinds.ADD, a=1, b=n) for n in range(3)]
    assert "3 jobs removed" in rq_command(address, "empty", "default").stdout
    for job_id in waiting:
        assert gone(shared, job_id)
    put(shared, kinds.ADD, a=1, b=1)
    assert "1 jobs removed from default" in rq_command(address, "empty", "--all").stdout


def test_rqs_suspend_and_resume(shared: Shared, fleet: WorkerProcesses, tmp_path: Path) -> None:
    """J01: no job begins, those that run go on; afterwards all go on at once."""
    begin(fleet)
    address = shared.settings.redis_address()
    running = put(shared, kinds.WAIT_FOR, file=str(tmp_path / "gate"))
    reaches(shared, running, JobStatus.STARTED)
    assert rq_command(address, "suspend").returncode == 0
    (tmp_path / "gate").touch()
    waiting = put(shared, kinds.RECORD, file=str(tmp_path / "log"), line="late")
    assert shared.queue.outcome(running, WAIT).unwrap() == "seen"
    assert shared.queue.outcome(waiting, 1.5).status == JobStatus.QUEUED
    assert not (tmp_path / "log").exists()
    assert rq_command(address, "resume").returncode == 0
    assert shared.queue.outcome(waiting, 5).unwrap() == {"line": "late"}
    assert rq_command(address, "suspend", "--duration", "1").returncode == 0
    assert shared.queue.outcome(put(shared, kinds.ADD, a=1, b=1), WAIT).unwrap() == 2


def test_rqs_cancel_and_dependents(shared: Shared, fleet: WorkerProcesses, tmp_path: Path) -> None:
    """J11: Job.cancel as RQ has it: waiting jobs never run, and a running one's end is no longer taken."""
    begin(fleet)
    queue = Queue("default", connection=shared.redis, keys=shared.keys)
    running = queue.enqueue(kinds.wait_for, str(tmp_path / "gate"))
    reaches(shared, running.id, JobStatus.STARTED)
    waiting = queue.enqueue(kinds.record, str(tmp_path / "log"), "never")
    child = queue.enqueue(kinds.add, args=(1, 2), depends_on=Dependency(running))
    waiting.cancel()
    running.cancel()
    (tmp_path / "gate").touch()
    assert shared.queue.outcome(put(shared, kinds.ADD, a=1, b=1), WAIT).unwrap() == 2
    assert [job.get_status() for job in (running, waiting, child)] == ["canceled", "canceled", "deferred"]
    assert not (tmp_path / "log").exists()
    assert Worker.all(connection=shared.redis)[0].get_state() in ("idle", "busy")
