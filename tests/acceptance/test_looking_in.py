"""Looking in: why a job is where it is, the fleet, draining a host, the queues' commands, what is counted."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from prometheus_client.parser import text_string_to_metric_families
from rq import Queue as RqQueue
from rq import Worker as RqWorker

from api import cli, metrics
from ltmc_jobs.queues.contract import JobSpec, JobStatus
from ltmc_jobs.registry import JobKind
from ltmc_jobs.settings import Settings
from ltmc_jobs.shared import Shared
from tests import queue_kinds as kinds
from tests.conftest import clean_environment, setting_variables, wait_until
from tests.fleet import WorkerProcesses, open_installation

HOST = socket.gethostname()
WAIT = 15.0


@pytest.fixture
def shared(settings: Settings) -> Iterator[Shared]:
    opened = open_installation(settings)
    yield opened
    opened.close()


@pytest.fixture
def fleet(settings: Settings, shared: Shared) -> Iterator[WorkerProcesses]:
    processes = WorkerProcesses(settings)
    yield processes
    processes.stop()


class Ltmc:
    """The command line against the test's server, in this process."""

    def __init__(self, settings: Settings) -> None:
        given = clean_environment(settings.home, REDIS_URL=settings.redis_address())
        self._env = {name: given.get(name) for name in setting_variables()}

    def __call__(self, *words: object, code: int = 0) -> str:
        """What it prints when it is piped; on standard error, if it is to fail."""
        done = CliRunner(env=self._env).invoke(cli.main, [str(word) for word in words], prog_name="ltmc")
        assert done.exit_code == code, done.output + repr(done.exception)
        return done.stderr if code else done.stdout

    def json(self, *words: object, code: int = 0) -> Any:
        done = CliRunner(env=self._env).invoke(cli.main, [str(word) for word in words], prog_name="ltmc")
        assert done.exit_code == code, done.output + repr(done.exception)
        return json.loads(done.stdout)


@pytest.fixture
def ltmc(settings: Settings, shared: Shared) -> Ltmc:
    return Ltmc(settings)


def spec(kind: JobKind, **args: Any) -> JobSpec:
    return JobSpec(kind=kind, args=args, project="default")


def put(shared: Shared, kind: JobKind, **args: Any) -> str:
    return shared.queue.enqueue(spec(kind, **args)).id


def serving(shared: Shared, count: int = 1) -> None:
    wait_until(lambda: len(shared.heartbeats.serving()) >= count, WAIT, "workers")


def samples(shared: Shared) -> dict[tuple[str, tuple[str, ...]], float]:
    """Every sample of /metrics, by its name and the values of its labels in the order of their names."""
    found = [
        one for family in text_string_to_metric_families(metrics.render(shared).decode()) for one in family.samples
    ]
    return {(one.name, tuple(value for _, value in sorted(one.labels.items()))): one.value for one in found}


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


def test_the_fleet_shows_hosts_processes_jobs_leases_and_the_leader(
    shared: Shared, fleet: WorkerProcesses, ltmc: Ltmc, tmp_path: Path
) -> None:
    """The same processes and queues as RQ's own classes list."""
    assert ltmc.json("fleet") == {"leader": None, "hosts": []}
    fleet.start("default", "low", pool="one")
    fleet.start("low", pool="two")
    serving(shared, 2)
    go = tmp_path / "go"
    job_id = put(shared, kinds.REPORT, file=str(go))
    wait_until(lambda: shared.queue.held_by(HOST) == 1, WAIT)
    wait_until(lambda: ltmc.json("fleet")["leader"], WAIT)
    found = ltmc.json("fleet")
    (host,) = found["hosts"]
    assert (host["host"], host["drained"], host["held"]) == (HOST, None, 1)
    rows = {row["pool"]: row for row in host["processes"]}
    assert [job["job_id"] for job in rows["one"]["jobs"]] == [job_id]
    assert rows["one"]["jobs"][0]["name"] == "report"
    assert {row["pid"] for row in rows.values()} == {process.pid for process in fleet.processes}
    assert all(0 < row["lease_seconds"] <= 10 for row in rows.values())
    assert all(row["version"] and row["rq_version"] for row in rows.values())
    assert found["leader"] in {row["name"] for row in rows.values()}
    known = {worker.name: worker.queue_names() for worker in RqWorker.all(connection=shared.redis)}
    assert {row["name"]: row["queues"] for row in rows.values()} == known
    go.touch()
    shared.queue.outcome(job_id, WAIT).unwrap()


def test_a_drained_host_takes_nothing_until_it_may_again(
    shared: Shared, fleet: WorkerProcesses, ltmc: Ltmc, tmp_path: Path
) -> None:
    """What it holds is ended; `ltmc drain` waits for that; what comes later waits, also over a start of its workers."""
    process = fleet.start("default")
    serving(shared)
    go = tmp_path / "go"
    held = put(shared, kinds.REPORT, file=str(go))
    wait_until(lambda: shared.queue.held_by(HOST) == 1, WAIT)
    assert ltmc.json("drain", HOST, "--wait", "4.5", code=1) == {"host": HOST, "drained": True, "held": 1}
    with ThreadPoolExecutor(1) as aside:
        waits = aside.submit(lambda: ltmc.json("drain", HOST, "--wait", "20"))
        go.touch()
        assert waits.result(20) == {"host": HOST, "drained": True, "held": 0}
    assert shared.queue.outcome(held, WAIT).status == JobStatus.FINISHED
    later = [put(shared, kinds.ECHO) for _ in range(3)]
    process.terminate()
    process.wait(20)
    fleet.start("default")
    serving(shared)
    time.sleep(2.0)
    assert {shared.queue.status(job_id).status for job_id in later} == {JobStatus.QUEUED}
    ltmc("drain", HOST, "--undo")
    assert [shared.queue.outcome(job_id, WAIT).status for job_id in later] == [JobStatus.FINISHED] * 3
    assert f"there are {HOST}" in ltmc("drain", "elsewhere", code=2)


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


def test_n05_waits_runs_and_outcomes_are_counted_exactly(
    shared: Shared, fleet: WorkerProcesses, tmp_path: Path
) -> None:
    """N05: a scheduled delay and the pause before a retry are no wait; what Redis took is counted, once."""
    ltmc_wait, ltmc_run = "ltmc_job_wait_seconds", "ltmc_job_run_seconds"
    standing = [put(shared, kinds.ECHO) for _ in range(5)]
    time.sleep(1.2)  # these do wait
    fleet.start("default")
    for job_id in standing:
        shared.queue.outcome(job_id, WAIT).unwrap()
    wait_until(lambda: samples(shared).get((f"{ltmc_wait}_count", ("default",))) == 5, WAIT)
    waited = samples(shared)[f"{ltmc_wait}_sum", ("default",)]
    assert waited > 5 * 1.2
    later = shared.queue.enqueue(JobSpec(kinds.ECHO, {}, "default", delay_seconds=2.0)).id
    away = put(shared, kinds.BE_AWAY, file=str(tmp_path / "ran"), times=2)
    crashed = put(shared, kinds.CRASH)
    for job_id in (later, away, crashed):
        shared.queue.outcome(job_id, WAIT)
    wait_until(lambda: samples(shared)[f"{ltmc_wait}_count", ("default",)] == 10, WAIT)
    found = samples(shared)
    assert found[f"{ltmc_wait}_sum", ("default",)] - waited < 1.5, "neither the delay nor the pauses"
    outcomes = {labels[0]: value for (name, labels), value in found.items() if name == "ltmc_jobs_total"}
    assert outcomes == {"finished": 7, "retried": 2, "failed": 1}
    runs = {labels[0]: value for (name, labels), value in found.items() if name == f"{ltmc_run}_count"}
    assert runs == {"echo": 6, "be_away": 3, "crash": 1}
    bounds = {labels[0] for name, labels in found if name == f"{ltmc_wait}_bucket"}
    assert {"0.02", "0.335", "335.0", "+Inf"} <= bounds


def test_j12_metrics_say_what_rqs_own_classes_count(shared: Shared, fleet: WorkerProcesses, tmp_path: Path) -> None:
    """J12: workers and jobs under rq-exporter's names and labels, and no job's id in any label."""
    fleet.start("default", "low")
    serving(shared)
    ended = [put(shared, kinds.ECHO) for _ in range(4)] + [put(shared, kinds.CRASH)]
    for job_id in ended:
        shared.queue.outcome(job_id, WAIT)
    shared.queue.enqueue(JobSpec(kinds.ECHO, {}, "default", delay_seconds=3600))
    wait_until(lambda: RqWorker.all(connection=shared.redis)[0].get_state() == "idle", WAIT)
    found = samples(shared)
    (worker,) = RqWorker.all(connection=shared.redis)
    queues = ",".join(worker.queue_names())
    assert found["rq_workers", (worker.name, queues, "idle")] == 1
    assert found["rq_workers_success_total", (worker.name, queues)] == worker.successful_job_count == 4
    assert found["rq_workers_failed_total", (worker.name, queues)] == worker.failed_job_count == 1
    assert found["rq_workers_working_time_total", (worker.name, queues)] == worker.total_working_time
    assert abs(found["ltmc_worker_last_heartbeat_seconds", (worker.name, queues)] - time.time()) < 5
    queue = RqQueue("default", connection=shared.redis)
    for status, count in {
        "queued": queue.count,
        "started": queue.started_job_registry.get_job_count(cleanup=False),
        "finished": queue.finished_job_registry.get_job_count(cleanup=False),
        "failed": queue.failed_job_registry.get_job_count(cleanup=False),
        "deferred": queue.deferred_job_registry.get_job_count(cleanup=False),
        "scheduled": queue.scheduled_job_registry.get_job_count(cleanup=False),
    }.items():
        assert found["rq_jobs", ("default", status)] == count, status
    assert not any(job_id in "".join(labels) for _, labels in found for job_id in ended)
