"""Take back what dead workers held, so that it runs again: at once on this machine, within a minute from any other."""

from __future__ import annotations

import hashlib
import os
import socket
import time
import uuid
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import structlog
from redis import Redis, WatchError
from rq.exceptions import NoSuchJobError
from rq.job import JobStatus
from rq.registry import StartedJobRegistry
from rq.serializers import JSONSerializer

from ltmc_jobs.orchestration.heartbeats import BEAT_SECONDS, Heartbeats
from ltmc_jobs.queues.inspect import queue_names
from ltmc_jobs.queues.producer import rq_queue
from ltmc_jobs.queues.repair import put_lost_back
from ltmc_jobs.queues.rq_job import Job
from ltmc_jobs.registry import Queue
from workers import processes

WORKERS = "rq:workers"
PREFIX = "rq:worker:"

log = structlog.get_logger("ltmc.worker")


class WorkerName(NamedTuple):
    """Which process a worker is; its name says it, so that anybody can tell whether it still lives."""

    host: str
    pool: str
    pid: int
    started: int  # hundredths of a second
    place: str

    @classmethod
    def own(cls, pool: str) -> WorkerName:
        """This process."""
        return cls(socket.gethostname(), pool, os.getpid(), _started(os.getpid()), place())

    @classmethod
    def read(cls, name: str) -> WorkerName | None:
        """The parts of a name; None for a worker that is not ours."""
        try:
            host, pool, pid, started, where = name.rsplit(".", 4)
            return cls(host, pool, int(pid), int(started), where)
        except ValueError:
            return None

    def __str__(self) -> str:
        return ".".join(map(str, self))

    @property
    def is_dead_here(self) -> bool:
        """Whether it was a process of this place and is gone, its pid perhaps given out again."""
        return self.place == place() and processes.find(self.pid, self.started / 100) is None


@cache
def place() -> str:
    """Where a pid says who is meant: this boot and namespace. Containers repeat pids, and hosts names."""
    parts = [socket.gethostname(), str(uuid.getnode())]
    with suppress(OSError):
        parts = [socket.gethostname(), Path("/proc/sys/kernel/random/boot_id").read_text()]
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()[:8]


def take_back(connection: Redis, *, elsewhere: bool = False) -> int:
    """Requeue the jobs of dead workers; how many there were. `elsewhere`: also of those on other machines.

    Here a worker is dead when its process is gone; elsewhere, when nothing was heard of it for long. What a dead one
    had popped and not yet started comes back too.
    """
    dead = {name for name in _names(connection) if name.is_dead_here}
    if elsewhere:
        dead |= _silent(connection)
    buried = [_bury(connection, name) for name in dead]
    taken = sum(_requeue(connection, job_id) for job_id in _orphans(connection, dead))
    # One that several bury is looked after by the one that removed its name.
    lost = put_lost_back(connection) if any(buried) else []
    if lost:
        log.warning("put jobs back that a dead worker had popped", job_ids=lost)
    return taken + len(lost)


def _names(connection: Redis) -> set[WorkerName]:
    members: Any = connection.smembers(WORKERS)
    names = (WorkerName.read(member.decode().removeprefix(PREFIX)) for member in members)
    return {name for name in names if name}


def _silent(connection: Redis) -> set[WorkerName]:
    """Workers of other places that are not heard of, asked twice: after a pause of Redis nobody has beaten yet."""
    heartbeats = Heartbeats(connection)

    def unheard() -> set[WorkerName]:
        heard = heartbeats.names(Queue)
        return {name for name in _names(connection) if name.place != place() and str(name) not in heard}

    silent = unheard()
    if silent:
        time.sleep(BEAT_SECONDS + 1)
        silent &= unheard()
    return silent


def _bury(connection: Redis, name: WorkerName) -> bool:
    """Remove a dead worker from RQ's sets; whether it was us who did."""
    member = f"{PREFIX}{name}"
    if not connection.srem(WORKERS, member):
        return False
    for queue in queue_names(connection):
        connection.srem(f"rq:workers:{queue}", member)
    connection.delete(member)
    log.warning("a worker is dead", worker=str(name))
    return True


def _orphans(connection: Redis, dead: set[WorkerName]) -> list[str]:
    """Started jobs whose worker is dead, or neither known to RQ nor heard of: it took its leave and failed to end them.

    One that is heard of was buried too early, as after a sleep, and goes on with its jobs.
    """
    held: dict[str, str] = {}
    for queue in queue_names(connection):
        members: Any = connection.zrange(f"rq:wip:{queue}", 0, -1)
        for job_id in (member.decode().partition(":")[0] for member in members):
            told: Any = connection.hmget(Job.key_for(job_id), "status", "worker_name")
            status, worker = told
            if status == b"started" and worker and WorkerName.read(worker.decode()):
                held[job_id] = worker.decode()
    if not held:
        return []
    known: Any = connection.smembers(WORKERS)  # after the jobs: a worker is there before its job
    heard = Heartbeats(connection).names(Queue) - {str(name) for name in dead}
    return [
        job_id for job_id, worker in held.items() if worker not in heard and f"{PREFIX}{worker}".encode() not in known
    ]


def _requeue(connection: Redis, job_id: str) -> bool:
    with suppress(NoSuchJobError, WatchError), connection.pipeline() as pipeline:
        pipeline.watch(Job.key_for(job_id))  # type: ignore[no-untyped-call]
        job = Job.fetch(job_id, connection=connection, serializer=JSONSerializer)
        if job.get_status() != JobStatus.STARTED:
            return False
        queue = rq_queue(connection, job.origin)
        registry = StartedJobRegistry(job.origin, connection, job_class=Job, serializer=JSONSerializer)
        again, worker = job.should_retry, job.worker_name
        pipeline.multi()
        registry.remove_executions(job, pipeline=pipeline)
        if again:
            job.retry(queue, pipeline)
        else:
            job.set_status(JobStatus.FAILED, pipeline=pipeline)
            job._handle_failure("its worker died while it ran", pipeline=pipeline)
        pipeline.execute()
        log.warning("took a job back from a dead worker", job_id=job_id, worker=worker, again=again)
        return True
    return False


def _started(pid: int) -> int:
    return round(processes.started(pid) * 100)
