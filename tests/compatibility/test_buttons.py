"""Every button of rq-dashboard, and RQ's own commands, on our jobs: those of now, and those of the release before."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import rq
from rq import Retry, Worker
from rq.job import Dependency
from rq.serializers import JSONSerializer

from api import tickets
from ltmc_jobs import keys
from ltmc_jobs.errors import Conflict, NotFound
from ltmc_jobs.queues.contract import JobSpec, JobStatus
from ltmc_jobs.queues.envelope import seal
from ltmc_jobs.queues.rq_queue import Queue
from ltmc_jobs.registry import JobKind
from ltmc_jobs.settings import Settings
from ltmc_jobs.shared import Shared
from tests.compatibility import kinds
from tests.compatibility.sides import rq_command
from tests.conftest import clean_environment, free_port, wait_until
from tests.fleet import ROOT, WorkerProcesses, open_installation

WAIT = 20.0
SAME = {"Sec-Fetch-Site": "same-origin"}
STATES = ("queued", "finished", "failed", "deferred", "scheduled", "canceled")


@pytest.fixture
def shared(settings: Settings) -> Iterator[Shared]:
    opened = open_installation(settings)
    yield opened
    opened.close()


@pytest.fixture
def fleet(settings: Settings, shared: Shared) -> Iterator[WorkerProcesses]:
    processes = WorkerProcesses(settings)
    yield processes
    assert set(processes.stop()) <= {0}


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


def begin(fleet: WorkerProcesses) -> None:
    fleet.start("default", module="tests.compatibility.worker")


def put(shared: Shared, kind: JobKind, **args: Any) -> str:
    return shared.queue.enqueue(JobSpec(kind=kind, args=args, project="default")).id


def put_old(shared: Shared, kind: JobKind, **args: Any) -> str:
    """As the release before this one wrote a job: through RQ, the envelope inside its deflated payload."""
    spec = JobSpec(kind=kind, args=args, project="default")
    old = rq.Queue(kind.queue.value, connection=shared.redis, serializer=JSONSerializer)
    job = old.create_job(
        kind.path,
        args=(json.loads(seal(spec, shared.keys)),),
        job_id=spec.id,
        timeout=kind.timeout_seconds,
        result_ttl=kind.result_ttl_seconds,
        failure_ttl=kind.failure_ttl_seconds,
        retry=Retry(max=kind.retries) if kind.retries else None,
        description="as it was",
        meta={"name": kind.name, "project": "default", "trace_id": spec.id},
    )
    old.enqueue_job(job, unique=True)
    return spec.id


def put_old_failed(shared: Shared, kind: JobKind, **args: Any) -> str:
    """One that had failed there: its error stands in `meta`."""
    job_id = put_old(shared, kind, **args)
    shared.redis.lrem("rq:queue:default", 1, job_id)
    meta = {"name": kind.name, "project": "default", "error": Conflict("as it was told then").as_dict()}
    shared.redis.hset(f"rq:job:{job_id}", mapping={"status": "failed", "meta": json.dumps(meta), "ltmc_attempts": 1})
    shared.redis.zadd("rq:failed:default", {job_id: shared.redis.time()[0] + 1000})
    return job_id


def reaches(shared: Shared, job_id: str, status: JobStatus, attempts: int | None = None) -> None:
    def there() -> bool:
        info = shared.queue.status(job_id)
        return info.status == status and attempts in (None, info.attempts)

    wait_until(there, WAIT, f"{status} {attempts}: {shared.queue.status(job_id)}")


def gone(shared: Shared, job_id: str) -> bool:
    """Whether nothing of a job stands anywhere but what it told; RQ leaves its id with those it depended on."""
    places: Any = [name for name in shared.redis.keys("rq:*") if not name.startswith(b"rq:results:")]
    places = [name for name in places if not name.endswith(b":dependents")]
    for name in places:
        kind: Any = shared.redis.type(name)
        held: Any = {
            b"list": lambda key: shared.redis.lrange(key, 0, -1),
            b"zset": lambda key: shared.redis.zrange(key, 0, -1),
            b"set": shared.redis.smembers,
        }.get(kind, lambda _key: [])(name)
        if job_id.encode() in name or any(job_id.encode() in member for member in held):
            return False
    return not any(
        job_id.encode() in b"".join(shared.redis.smembers(name)) for name in shared.redis.keys("ltmc:*:held:*")
    )


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
        assert "ltmc_jobs.queues.rq_queue" in error["message"], "the cure for code written for RQ"
        listed: Any = shared.redis.lrange(keys.key(keys.INSTALLATION, "refused"), 0, -1)
        assert job_id in listed[0].decode()
        assert dashboard.get(f"/rq/0/data/job/{job_id}.json").json()["status"] == "failed"
        assert job_id in dashboard.get("/rq/0/data/jobs/default/failed/8/asc/1.json").text
        assert "EnvelopeRefused" in dashboard.get(f"/rq/0/data/job/{job_id}.json").json()["exc_info"]


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
