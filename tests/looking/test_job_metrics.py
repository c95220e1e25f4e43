"""What /metrics says of jobs and workers, against what was done and what RQ counts."""

from __future__ import annotations

import time
from pathlib import Path

from rq import Queue as RqQueue
from rq import Worker as RqWorker

from ltmc_jobs.queues.contract import JobSpec
from ltmc_jobs.shared import Shared
from tests import queue_kinds as kinds
from tests.conftest import wait_until
from tests.fleet import WorkerProcesses
from tests.looking.conftest import WAIT, put, samples, serving


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
