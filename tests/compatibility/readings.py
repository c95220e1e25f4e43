"""What RQ's own readers say of a job, a worker, an answer of the dashboard, made comparable: ids and times as facts."""

from __future__ import annotations

import time
from typing import Any

import rq
from rq import Worker
from rq.job import Job
from rq.registry import (
    CanceledJobRegistry,
    DeferredJobRegistry,
    FailedJobRegistry,
    FinishedJobRegistry,
    ScheduledJobRegistry,
    StartedJobRegistry,
)
from rq.results import Result

from tests.compatibility.sides import Side

REGISTRIES: dict[str, type[Any]] = {
    "started": StartedJobRegistry, "finished": FinishedJobRegistry, "failed": FailedJobRegistry,
    "scheduled": ScheduledJobRegistry, "deferred": DeferredJobRegistry, "canceled": CanceledJobRegistry,
}  # fmt: skip


def places(side: Side, job_id: str) -> dict[str, float | None]:
    """The registries, and the queue, that hold a job: when it leaves them, to the minute."""
    found: dict[str, float | None] = {}
    for name, kind in REGISTRIES.items():
        registry = kind("default", connection=side.connection)
        for member, score in side.connection.zrange(registry.key, 0, -1, withscores=True):
            if member.decode().partition(":")[0] == job_id:
                found[name] = score if score in (-1, float("inf")) else round((score - time.time()) / 60)
    if job_id in side.queue.job_ids:
        found["queue"] = None
    return found


def lives(side: Side, job_id: str) -> dict[str, int]:
    """How long each key of a job lives, in minutes."""
    found: Any = side.connection.keys(f"rq:*{job_id}*")
    return {
        key.decode().replace(job_id, "ID"): round(side.connection.ttl(key) / 60)
        for key in found
        if b":execution" not in key
    }


def result(found: Result | None) -> dict[str, Any]:
    """What a result says."""
    assert found is not None
    return {
        "type": found.type.name,
        "value": found.return_value,
        "error": (found.exc_string or "").strip().rpartition("\n")[2],
        "has_execution": bool(found.execution_id and found.execution_started_at and found.execution_ended_at),
        "took": (found.execution_ended_at or found.created_at) >= (found.execution_started_at or found.created_at),
        "by_worker": bool(found.worker_name),
    }


def properties(job: Job) -> dict[str, Any]:
    """All that a Job says of itself, times as whether they are known."""
    names = [
        "description", "origin", "timeout", "result_ttl", "failure_ttl", "ttl", "is_finished", "is_queued", "is_failed",
        "is_started", "is_deferred", "is_canceled", "is_scheduled", "is_stopped", "dependency_ids", "retry_intervals",
        "allow_dependency_failures", "group_id", "webhooks", "repeats_left", "repeat_intervals", "success_callback",
        "failure_callback", "stopped_callback", "instance", "enqueue_at_front_on_retry",
    ]  # fmt: skip
    told = {name: getattr(job, name) for name in names}
    told |= {name: getattr(job, name) is not None for name in ("created_at", "enqueued_at", "started_at", "ended_at")}
    return told | {"status": job.get_status(), "group_id": job.group_id or None, "has_worker": bool(job.worker_name)}


def shown(worker: Worker) -> dict[str, Any]:
    """What RQ's tools show of a worker."""
    return {
        "state": worker.get_state(),
        "queues": worker.queue_names(),
        "has_pid": bool(worker.pid),
        "host": worker.hostname,
        "version": worker.version,
        "python": worker.python_version,
        "born": worker.birth_date is not None,
        "heard": worker.last_heartbeat is not None,
        "successful": worker.successful_job_count,
        "failed": worker.failed_job_count,
        "worked": worker.total_working_time >= 0,
        "by_queue": len(Worker.all(queue=rq.Queue("default", connection=worker.connection))),
        "counted": Worker.count(connection=worker.connection),
    }


def sizes(told: dict[str, Any]) -> dict[str, Any]:
    """With the number of parents instead of their ids, which differ."""
    return told | {"dependency_ids": len(told["dependency_ids"])}


def known(shown: Any, name: str = "") -> Any:
    """A JSON answer with its ids, times and numbers of ours as whether they are there."""
    if isinstance(shown, dict):
        return {key: known(value, key) for key, value in shown.items()}
    if isinstance(shown, list):
        return [known(one, name) for one in shown]
    if name in (
        "id",
        "pid",
        "created_at",
        "enqueued_at",
        "started_at",
        "ended_at",
        "last_heartbeat",
        "birth_date",
        "name",
    ):
        return bool(shown)
    if name == "exc_info":
        return (shown or "").strip().rpartition("\n")[2]
    if name in ("metadata", "total_working_time"):
        return None  # ours has the tool's name and its project
    return shown
