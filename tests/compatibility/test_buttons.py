"""Every button of rq-dashboard on our jobs: those of now, and those of the release before."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from api import tickets
from ltmc_jobs import keys
from ltmc_jobs.errors import Conflict, NotFound
from ltmc_jobs.queues.contract import JobSpec, JobStatus
from ltmc_jobs.shared import Shared
from tests.compatibility import kinds
from tests.compatibility.jobs import WAIT, begin, gone, put, put_old, put_old_failed, reaches
from tests.compatibility.sides import rq_command
from tests.conftest import clean_environment, free_port, wait_until
from tests.fleet import ROOT, WorkerProcesses

SAME = {"Sec-Fetch-Site": "same-origin"}
STATES = ("queued", "finished", "failed", "deferred", "scheduled", "canceled")


@pytest.fixture
def dashboard(shared: Shared) -> Iterator[httpx.Client]:
    """The dashboard's own process, opened by a ticket."""
    address = f"127.0.0.1:{free_port()}"
    env = clean_environment(shared.settings.home, REDIS_URL=shared.settings.redis_address(), PYTHONPATH=ROOT)
    command = [sys.executable, "-m", "api.dashboard", "--tcp", address]
    process = subprocess.Popen(command, env=env, cwd=ROOT)
    with httpx.Client(base_url=f"http://{address}", headers=SAME, timeout=20) as client:

        def answers() -> bool:
            try:
                return client.get("/rq/").status_code == 403
            except httpx.TransportError:
                return False

        wait_until(answers, WAIT)
        assert client.get("/rq/open", params={"ticket": tickets.issue(shared)}).status_code == 302
        yield client
    process.terminate()
    process.wait(20)


@pytest.mark.parametrize("make", [put, put_old])
def test_a_failed_job_is_requeued(make: Any, dashboard: httpx.Client, shared: Shared, fleet: WorkerProcesses) -> None:
    """J01: by its own button, and by the one for all of a queue."""
    begin(fleet)
    ids = [make(shared, kinds.TURN_AWAY) for _ in range(3)]
    for job_id in ids:
        reaches(shared, job_id, JobStatus.FAILED, 1)
    assert dashboard.post(f"/rq/job/{ids[0]}/requeue").json() == {"status": "OK"}
    reaches(shared, ids[0], JobStatus.FAILED, 2)
    shared.redis.zadd("rq:failed:default", {"expired": 1})
    assert dashboard.post("/rq/requeue/default").json() == {"status": "OK", "count": 4}
    assert shared.redis.zscore("rq:failed:default", "expired") is None
    for job_id, attempts in zip(ids, (3, 2, 2), strict=True):
        reaches(shared, job_id, JobStatus.FAILED, attempts)
        with pytest.raises(Conflict, match="it does not fit"):
            shared.queue.outcome(job_id, WAIT).unwrap()
        assert shared.queue.status(job_id).name == "compat_turn_away", "its name and project are kept"


def test_what_had_failed_in_the_old_format(dashboard: httpx.Client, shared: Shared, fleet: WorkerProcesses) -> None:
    """J01: it is shown with its error, requeued by the button, by `ltmc jobs retry`, and by `rq requeue`."""
    ids = [put_old_failed(shared, kinds.ADD, a=1, b=n) for n in range(3)]
    for job_id in ids:
        with pytest.raises(Conflict, match="as it was told then"):
            shared.queue.outcome(job_id, 0).unwrap()
        assert dashboard.get(f"/rq/0/data/job/{job_id}.json").json()["status"] == "failed"
    begin(fleet)
    assert dashboard.post(f"/rq/job/{ids[0]}/requeue").json() == {"status": "OK"}
    shared.queue.retry(ids[1])
    done = rq_command(shared.settings.redis_address(), "requeue", "--serializer", "json", "--queue", "default", ids[2])
    assert done.returncode == 0, done.stderr
    for number, job_id in enumerate(ids):
        reaches(shared, job_id, JobStatus.FINISHED, 2)
        assert shared.queue.outcome(job_id, WAIT).unwrap() == 1 + number
        assert shared.queue.status(job_id).error is None


def in_each_state(shared: Shared, fleet: WorkerProcesses, tmp_path: Path, make: Any) -> dict[str, str]:
    """One job in each state; nobody works any more."""
    begin(fleet)
    ids = {"finished": make(shared, kinds.ADD, a=1, b=2), "failed": make(shared, kinds.TURN_AWAY)}
    for state, job_id in ids.items():
        reaches(shared, job_id, JobStatus(state))
    assert set(fleet.stop()) <= {0}
    fleet.processes.clear()
    ids["queued"] = make(shared, kinds.ADD, a=1, b=2)
    ours = JobSpec(kinds.ADD, {"a": 1, "b": 2}, "default", depends_on=(ids["queued"],))
    later = JobSpec(kinds.ADD, {"a": 1, "b": 2}, "default", delay_seconds=3600)
    ids["deferred"], ids["scheduled"] = (ref.id for ref in shared.queue.enqueue_many([ours, later]))
    ids["canceled"] = make(shared, kinds.ADD, a=1, b=2)
    assert shared.queue.cancel(ids["canceled"])
    return ids


@pytest.mark.parametrize("make", [put, put_old])
def test_a_job_is_deleted_in_every_state(
    make: Any, dashboard: httpx.Client, shared: Shared, fleet: WorkerProcesses, tmp_path: Path
) -> None:
    """J01: it is gone, with what stood for it everywhere, and the others stay."""
    ids = in_each_state(shared, fleet, tmp_path, make)
    for state in ("deferred", *(name for name in STATES if name != "deferred")):
        assert shared.queue.status(ids[state]).status == state
        assert dashboard.post(f"/rq/job/{ids[state]}/delete").json() == {"status": "OK"}
        assert gone(shared, ids[state]), state
        with pytest.raises(NotFound):
            shared.queue.status(ids[state])
    assert dashboard.post(f"/rq/job/{ids['failed']}/delete").status_code in (200, 404)


def test_each_registry_is_emptied(
    dashboard: httpx.Client, shared: Shared, fleet: WorkerProcesses, tmp_path: Path
) -> None:
    """J01: by its own button; compacting keeps what is alive, in its order."""
    ids = in_each_state(shared, fleet, tmp_path, put)
    more = [put(shared, kinds.ADD, a=1, b=n) for n in range(3)]
    shared.redis.delete(f"rq:job:{more[1]}")
    assert dashboard.post("/rq/queue/default/compact").json() == {"status": "OK"}
    queued: Any = shared.redis.lrange("rq:queue:default", 0, -1)
    assert [job_id.decode() for job_id in queued] == [ids["queued"], more[0], more[2]]
    for state in ("deferred", *(name for name in STATES if name != "deferred")):
        assert dashboard.post(f"/rq/queue/default/{state}/empty").json() == {"status": "OK"}
        assert gone(shared, ids[state]), state
    counted = {name: count for name, count in shared.queue.counts()["default"].items() if count}
    assert counted == {}
    assert dashboard.post("/rq/queue/default/compact").json() == {"status": "OK"}, "an empty queue, too"


def test_a_running_job_is_deleted(
    dashboard: httpx.Client, shared: Shared, fleet: WorkerProcesses, tmp_path: Path
) -> None:
    """J01: its end changes nothing, nothing of it stays, and its worker goes on."""
    begin(fleet)
    one, two = (put(shared, kinds.WAIT_FOR, file=str(tmp_path / name)) for name in ("one", "two"))
    reaches(shared, one, JobStatus.STARTED)
    assert dashboard.post(f"/rq/job/{one}/delete").json() == {"status": "OK"}
    (tmp_path / "one").touch()
    reaches(shared, two, JobStatus.STARTED)
    shared.redis.delete(f"rq:job:{two}")  # as if it had expired
    (tmp_path / "two").touch()
    assert shared.queue.outcome(put(shared, kinds.ADD, a=1, b=1), WAIT).unwrap() == 2
    for job_id in (one, two):
        wait_until(lambda: gone(shared, job_id), 5, job_id)  # noqa: B023
    third = put(shared, kinds.WAIT_FOR, file=str(tmp_path / "three"))
    reaches(shared, third, JobStatus.STARTED)
    assert dashboard.post("/rq/queue/default/started/empty").json() == {"status": "OK"}
    (tmp_path / "three").touch()
    wait_until(lambda: gone(shared, third), 5)


def test_a_limit_outlives_a_deleted_job(
    dashboard: httpx.Client, shared: Shared, fleet: WorkerProcesses, tmp_path: Path
) -> None:
    """J01: the place that a deleted job took under its function's limit is free again."""
    from ltmc_jobs.queues.control import Limit

    shared.queue.limit("func", kinds.WAIT_FOR.name, Limit(at_once=1))
    begin(fleet)
    one = put(shared, kinds.WAIT_FOR, file=str(tmp_path / "one"))
    reaches(shared, one, JobStatus.STARTED)
    dashboard.post(f"/rq/job/{one}/delete")
    (tmp_path / "one").touch()
    (tmp_path / "two").touch()
    assert shared.queue.outcome(put(shared, kinds.WAIT_FOR, file=str(tmp_path / "two")), WAIT).unwrap() == "seen"
    shared.queue.limit("func", kinds.WAIT_FOR.name, None)


def test_what_rq_enqueues_unsigned_is_set_aside(
    dashboard: httpx.Client, shared: Shared, fleet: WorkerProcesses
) -> None:
    """J01: `rq enqueue` as it comes: visible in the failed registry, in the list of the refused, and with the cure."""
    begin(fleet)
    address = shared.settings.redis_address()
    for number, serializer in enumerate(("json", "pickle")):
        job_id = f"foreign-{number}"
        done = rq_command(address, "enqueue", "--serializer", serializer, "--job-id", job_id, "os.getpid")
        assert done.returncode == 0, done.stderr
        reaches(shared, job_id, JobStatus.FAILED, 0)
        error: Any = shared.queue.status(job_id).error
        assert error["code"] == "envelope_refused"
        assert "enqueue it through this platform" in error["message"]
        assert "ltmc_jobs.queues.for_rq.queue" in error["message"], "the cure for code written for RQ"
        listed: Any = shared.redis.lrange(keys.key(keys.INSTALLATION, "refused"), 0, -1)
        assert job_id in listed[0].decode()
        assert dashboard.get(f"/rq/0/data/job/{job_id}.json").json()["status"] == "failed"
        assert job_id in dashboard.get("/rq/0/data/jobs/default/failed/8/asc/1.json").text
        assert "EnvelopeRefused" in dashboard.get(f"/rq/0/data/job/{job_id}.json").json()["exc_info"]
