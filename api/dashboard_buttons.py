"""The dashboard's buttons that act in several steps: requeue one or all, and compact, in steps that lose nothing."""

from __future__ import annotations

from functools import partial, wraps
from typing import Any

from flask import Flask

from ltmc_jobs.errors import Conflict, NotFound
from ltmc_jobs.queues.contract import JobStatus
from ltmc_jobs.shared import Shared

OK = {"status": "OK"}


def replace_buttons(app: Flask, blueprint: str, shared: Shared) -> None:
    """As they come, a death in the midst of one loses jobs, and an expired job stops the rest."""
    for name, view in {"requeue_job_view": requeue, "requeue_all": requeue_all, "compact_queue": compact}.items():
        endpoint = f"{blueprint}.{name}"
        app.view_functions[endpoint] = wraps(app.view_functions[endpoint])(partial(view, shared))


def requeue(shared: Shared, job_id: str) -> dict[str, Any]:
    """A failed job, again; NotFound or Conflict for any other."""
    if shared.queue.status(job_id).status not in (JobStatus.FAILED, JobStatus.STOPPED):
        raise Conflict(f"job {job_id} has not failed")
    shared.queue.retry(job_id)
    return OK


def requeue_all(shared: Shared, queue_name: str) -> dict[str, Any]:
    """All failed jobs of a queue; `count` is how many there were."""
    key = f"rq:failed:{queue_name}"
    failed: Any = shared.redis.zrange(key, 0, -1)
    for name in failed:
        try:
            shared.queue.retry(name.decode(errors="replace"))
        except NotFound:  # it has expired
            shared.redis.zrem(key, name)
        except Conflict:
            continue  # somebody else was first
    return OK | {"count": len(failed)}


def compact(shared: Shared, queue_name: str) -> dict[str, Any]:
    """Drop from a queue what has no job any more; what has one never leaves its place."""
    key = f"rq:queue:{queue_name}"
    waiting: Any = shared.redis.lrange(key, 0, -1)
    pipeline = shared.redis.pipeline(transaction=False)
    for name in waiting:
        pipeline.exists(b"rq:job:" + name)
    for name, exists in zip(waiting, pipeline.execute(), strict=True):
        if not exists:
            shared.redis.lrem(key, 0, name)
    return OK
