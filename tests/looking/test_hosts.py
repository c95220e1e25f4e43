"""`ltmc fleet` and `ltmc drain`, over real worker processes."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rq import Worker as RqWorker

from ltmc_jobs.queues.contract import JobStatus
from ltmc_jobs.shared import Shared
from tests import queue_kinds as kinds
from tests.conftest import wait_until
from tests.fleet import WorkerProcesses
from tests.looking.conftest import HOST, WAIT, Ltmc, put, serving


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
