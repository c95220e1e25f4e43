"""`ltmc why`: where a job is, what it waits for with the cure, and what it did so far."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

from ltmc_jobs.queues.contract import JobSpec, JobStatus
from ltmc_jobs.shared import Shared
from tests import queue_kinds as kinds
from tests.conftest import wait_until
from tests.fleet import WorkerProcesses
from tests.looking.conftest import HOST, WAIT, Ltmc, put, serving


def test_why_names_what_a_job_waits_for_and_the_cure(shared: Shared, fleet: WorkerProcesses, ltmc: Ltmc) -> None:
    """No worker, a pause with its reason, a limit, a drained host, a time, another job."""

    def told(job_id: str) -> str:
        found = ltmc.json("why", job_id)
        return f"{found['status']} {found['where']} | " + " | ".join(found["reasons"])

    first, second = put(shared, kinds.ECHO), put(shared, kinds.ECHO)
    assert re.fullmatch(
        r"queued in queue default, 2 of 2 \| no worker is running for the default queue; .*", told(second)
    )
    ltmc("jobs", "pause", "default", "--reason", "a new disk")
    assert ": a new disk; `ltmc jobs resume default` goes on" in told(first)
    fleet.start("default")
    serving(shared)
    assert "a new disk" in told(first)
    assert "no worker" not in told(first)
    ltmc("jobs", "resume", "default")
    assert shared.queue.outcome(second, WAIT).status == JobStatus.FINISHED
    assert re.match(r"finished kept for another \d+ minutes \| it finished", told(second))

    ltmc("drain", HOST, "--wait", "0")
    wait_until(lambda: shared.queue.fleet()["hosts"][0]["drained"], WAIT)
    time.sleep(3.5)  # by then the worker has heard of it
    drained = put(shared, kinds.ECHO)
    assert f"all hosts that serve the queue are drained ({HOST})" in told(drained)
    ltmc("drain", HOST, "--undo")
    assert shared.queue.outcome(drained, WAIT).status == JobStatus.FINISHED

    ltmc("jobs", "limit", "default", "--rate", "1/30")
    limited = [put(shared, kinds.ECHO), put(shared, kinds.ECHO)]
    assert shared.queue.outcome(limited[0], WAIT).status == JobStatus.FINISHED
    assert re.search(r"the queue default is at its rate of 1 in 30 s; the next starts in \d\d\.\d s", told(limited[1]))
    ltmc("jobs", "limit", "default", "--none")
    assert shared.queue.outcome(limited[1], WAIT).status == JobStatus.FINISHED

    later = shared.queue.enqueue(JobSpec(kinds.ECHO, {}, "default", delay_seconds=3600)).id
    assert re.search(r"scheduled set aside .* it is due at .* UTC, in 3\d\d\d\.\d s", told(later))
    child = shared.queue.enqueue(JobSpec(kinds.ECHO, {}, "default", depends_on=(later,))).id
    assert f"deferred deferred, then queue default | it waits for job {later} (echo), which is scheduled" in told(child)
    failed = put(shared, kinds.CRASH)
    orphan = shared.queue.enqueue(JobSpec(kinds.ECHO, {}, "default", depends_on=(failed,))).id
    assert shared.queue.outcome(failed, WAIT).status == JobStatus.FAILED
    assert f"which is failed; `ltmc jobs retry {failed}` would let both go on" in told(orphan)
    ltmc("jobs", "cancel", later)
    assert f"job {later} (echo), which was cancelled: it will never run; `ltmc jobs cancel` it" in told(child)
    assert ltmc("why", "no-such-job", code=1).startswith("not_found: ")


def test_why_tells_what_a_job_did_so_far(shared: Shared, fleet: WorkerProcesses, ltmc: Ltmc, tmp_path: Path) -> None:
    """Each attempt with its end, times, worker and error, none of which a caller is told; and where it runs now."""
    fleet.start("default")
    job_id = put(shared, kinds.BE_AWAY, file=str(tmp_path / "ran"), times=1)
    assert shared.queue.outcome(job_id, WAIT).unwrap() == {"attempt": 2}
    found = ltmc.json("why", job_id)
    assert [one["outcome"] for one in found["attempts"]] == ["retried", "finished"]
    first, second = found["attempts"]
    assert first["error"].endswith("come back later")
    assert second["error"] is None
    assert first["started_at"] <= first["ended_at"] <= second["started_at"] <= second["ended_at"]
    assert first["worker"].startswith(f"{HOST}.tests.")
    assert found["attempts_begun"] == 2

    crashed = put(shared, kinds.CRASH)
    assert shared.queue.outcome(crashed, WAIT).status == JobStatus.FAILED
    found = ltmc.json("why", crashed)
    assert found["attempts"][0]["error"] == "ZeroDivisionError: secret inner words"
    assert "secret" not in json.dumps(found["reasons"]) + json.dumps(found["error"])

    go = tmp_path / "go"
    running = put(shared, kinds.REPORT, file=str(go))
    wait_until(lambda: shared.queue.status(running).meta.get("log"), WAIT)
    found = ltmc.json("why", running)
    assert found["where"].startswith(f"with worker {HOST}.tests.")
    assert found["progress"]["message"] == "one of three"
    go.touch()
    shared.queue.outcome(running, WAIT).unwrap()


def test_why_names_a_functions_limit(shared: Shared, fleet: WorkerProcesses, ltmc: Ltmc, tmp_path: Path) -> None:
    """A job that is set aside at its function's limit, or over its rate, while others go on."""
    fleet.start("default")
    fleet.start("default")
    serving(shared, 2)
    ltmc("jobs", "limit", "--func", "report", "--at-once", 1)
    go = tmp_path / "go"
    first, second = put(shared, kinds.REPORT, file=str(go)), put(shared, kinds.REPORT, file=str(go))
    wait_until(lambda: JobStatus.DEFERRED in {shared.queue.status(one).status for one in (first, second)}, WAIT)
    parked = next(one for one in (first, second) if shared.queue.status(one).status == JobStatus.DEFERRED)
    (reason,) = ltmc.json("why", parked)["reasons"]
    assert reason.startswith("the function report runs at its limit of 1 at once; `ltmc jobs limit --func report`")
    go.touch()
    assert [shared.queue.outcome(one, WAIT).status for one in (first, second)] == [JobStatus.FINISHED] * 2
    ltmc("jobs", "limit", "--func", "echo", "--rate", "1/40")
    echoes = [put(shared, kinds.ECHO) for _ in range(2)]
    wait_until(lambda: JobStatus.SCHEDULED in {shared.queue.status(one).status for one in echoes}, WAIT)
    late = next(one for one in echoes if shared.queue.status(one).status == JobStatus.SCHEDULED)
    rate, due = ltmc.json("why", late)["reasons"]
    assert rate.startswith("the function echo is at its rate of 1 in 40 s; ")
    assert "it is due at" in due
    ltmc("jobs", "limit", "--func", "report", "--none")
    ltmc("jobs", "limit", "--func", "echo", "--none")
