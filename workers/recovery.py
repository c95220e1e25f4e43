"""Take back what a dead process of this host held, so that it runs again at once."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from typing import Any

import structlog
from redis import Redis
from rq.exceptions import NoSuchJobError
from rq.job import JobStatus
from rq.registry import StartedJobRegistry
from rq.serializers import JSONSerializer

from ltmc_jobs.queues.producer import rq_queue
from ltmc_jobs.queues.repair import put_lost_back
from ltmc_jobs.queues.rq_job import Job

log = structlog.get_logger("ltmc.worker")


def take_back(connection: Redis, pool: str) -> int:
    """Requeue the jobs of this pool's dead processes on this host; how many there were.

    A process is dead when its pid is gone. Of several successors, the one that removes the dead
    worker's name from RQ's set does the work. What it had popped and not yet started comes back too.
    """
    prefix = f"rq:worker:{socket.gethostname()}.{pool}."
    taken, died = 0, False
    names: Any = connection.smembers("rq:workers")
    for name in sorted(member.decode() for member in names):
        if not name.startswith(prefix) or _lives(int(name.removeprefix(prefix))):
            continue
        fields: Any = connection.hgetall(name)
        if connection.srem("rq:workers", name):
            for queue in fields.get(b"queues", b"").decode().split(","):
                connection.srem(f"rq:workers:{queue}", name)
            died = True
            taken += _requeue(connection, name.removeprefix("rq:worker:"), fields.get(b"current_job"))
            connection.delete(name)
    lost = put_lost_back(connection) if died else []
    if lost:
        log.warning("put jobs back that a dead worker had popped", job_ids=lost)
    return taken + len(lost)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _requeue(connection: Redis, worker: str, current: bytes | None) -> int:
    if not current:
        return 0
    with suppress(NoSuchJobError):
        job = Job.fetch(current.decode(), connection=connection, serializer=JSONSerializer)
        if job.get_status() != JobStatus.STARTED or job.worker_name != worker:
            return 0
        queue = rq_queue(connection, job.origin)
        registry = StartedJobRegistry(job.origin, connection, job_class=Job, serializer=JSONSerializer)
        with connection.pipeline() as pipeline:
            registry.remove_executions(job, pipeline=pipeline)
            if job.should_retry:
                job.retry(queue, pipeline)
            else:
                job.set_status(JobStatus.FAILED, pipeline=pipeline)
                job._handle_failure("its worker died while it ran", pipeline=pipeline)
            pipeline.execute()
        log.warning("took a job back from a dead worker", job_id=job.id, worker=worker, again=job.should_retry)
        return 1
    return 0
