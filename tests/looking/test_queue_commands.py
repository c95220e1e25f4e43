"""`ltmc jobs`: pause, resume, limit, queues, dead, logs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ltmc_jobs.queues.contract import JobSpec, JobStatus
from ltmc_jobs.settings import Settings
from ltmc_jobs.shared import Shared
from tests import queue_kinds as kinds
from tests.conftest import clean_environment, wait_until
from tests.fleet import WorkerProcesses
from tests.looking.conftest import WAIT, Ltmc, put, samples


def test_queues_are_paused_limited_and_shown(shared: Shared, ltmc: Ltmc) -> None:
    """What is set is shown; what is misspelled is refused with the names there are."""
    put(shared, kinds.ECHO)
    ltmc("jobs", "pause", "default", "--reason", "a new disk")
    shown = ltmc.json("jobs", "queues")["queues"]["default"]
    assert shown["queued"] == 1
    assert shown["paused"]["reason"] == "a new disk"
    assert samples(shared)["ltmc_queue_paused", ("default",)] == 1
    ltmc("jobs", "resume", "default")
    assert samples(shared)["ltmc_queue_paused", ("default",)] == 0
    set_ = ltmc.json("jobs", "limit", "--func", "echo", "--at-once", 2, "--rate", "10/1.5")
    assert set_ == {"limits": [{"subject": "func", "name": "echo", "at_once": 2, "rate": "10/1.5"}]}
    assert ltmc.json("jobs", "limit") == set_
    assert ltmc.json("jobs", "limit", "--func", "echo", "--none") == {"limits": []}
    assert "there is no queue defualt; there are critical, high, default" in ltmc("jobs", "pause", "defualt", code=2)
    assert "such as 100/60" in ltmc("jobs", "limit", "low", "--rate", "0/1", code=2)
    assert "NAME" in ltmc("jobs", "limit", "--at-once", 1, code=2)


def test_dead_jobs_are_listed_and_run_again(shared: Shared, fleet: WorkerProcesses, ltmc: Ltmc, tmp_path: Path) -> None:
    """Of all projects, unless one is named."""
    fleet.start("default")
    jobs = [JobSpec(kinds.CRASH, {}, project) for project in ("one", "two")]
    for ref in shared.queue.enqueue_many(jobs):
        assert shared.queue.outcome(ref.id, WAIT).status == JobStatus.FAILED
    assert {job["job_id"] for job in ltmc.json("jobs", "dead")["jobs"]} == {spec.id for spec in jobs}
    again = ltmc.json("jobs", "dead", "--project", "two", "--retry")
    assert [job["job_id"] for job in again["jobs"]] == [jobs[1].id]
    wait_until(lambda: shared.queue.status(jobs[1].id).attempts == 2, WAIT)
    assert shared.queue.status(jobs[0].id).attempts == 1


def test_a_jobs_lines_can_be_followed(
    settings: Settings, shared: Shared, fleet: WorkerProcesses, ltmc: Ltmc, tmp_path: Path
) -> None:
    """While it runs, and until it has ended."""
    fleet.start("default")
    go = tmp_path / "go"
    job_id = put(shared, kinds.REPORT, file=str(go))
    env = clean_environment(settings.home, REDIS_URL=settings.redis_address())
    command = [sys.executable, "-m", "api.cli", "jobs", "logs", job_id, "--follow"]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as follower:
        assert follower.stdout is not None
        assert follower.stdout.readline() == "a line\n"
        assert follower.poll() is None
        go.touch()
        assert follower.wait(WAIT) == 0
    assert ltmc("jobs", "logs", job_id) == "a line\n"
    assert ltmc.json("jobs", "logs", job_id, "--json") == {"job_id": job_id, "log": ["a line"]}
