"""Enqueue: one or many, idempotent by job id, each with its signed envelope."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any

from redis import Redis, WatchError
from rq import Queue as RqQueue
from rq import Retry
from rq.exceptions import DuplicateJobError
from rq.job import JobStatus as RqStatus
from rq.serializers import JSONSerializer

from ltmc_jobs.errors import InvalidArguments
from ltmc_jobs.queues.contract import JobRef, JobSpec
from ltmc_jobs.queues.envelope import Keyring, seal
from ltmc_jobs.queues.rq_job import Job

PAYLOAD_LIMIT = 64 * 1024 * 1024  # bytes: the longest document that a tool takes, each character escaped


@lru_cache(maxsize=256)
def rq_queue(connection: Redis, name: str) -> RqQueue:
    """RQ's queue of this name, with our job class and JSON on both directions; it asks the server's version once."""
    return RqQueue(name, connection=connection, job_class=Job, serializer=JSONSerializer)


def enqueue(connection: Redis, keys: Keyring, spec: JobSpec) -> JobRef:
    """Put a job into its queue; the same id again changes nothing."""
    # RQ checks uniqueness in one step, but only for jobs without dependencies.
    if spec.depends_on and Job.exists(spec.id, connection=connection):
        return JobRef(spec.id, spec.kind.queue, created=False)
    queue, job = _build(connection, keys, spec)
    try:
        queue.enqueue_job(job, unique=not spec.depends_on)
    except DuplicateJobError:
        return JobRef(spec.id, spec.kind.queue, created=False)
    return JobRef(spec.id, spec.kind.queue)


def enqueue_many(connection: Redis, keys: Keyring, specs: Sequence[JobSpec]) -> list[JobRef]:
    """Enqueue in order, so that a job may depend on an earlier one of the same list; if all are new, in one step."""
    ids = {spec.id for spec in specs}
    if not specs or len(ids) < len(specs) or not all(ids.issuperset(spec.depends_on) for spec in specs):
        return [enqueue(connection, keys, spec) for spec in specs]
    built = [_build(connection, keys, spec) for spec in specs]
    with connection.pipeline() as pipeline:
        # Watched, so that of two that enqueue the same job at once one sees the other's.
        pipeline.watch(*(job.key for _, job in built))  # type: ignore[no-untyped-call]
        if not pipeline.exists(*(job.key for _, job in built)):
            pipeline.multi()
            for spec, (queue, job) in zip(specs, built, strict=True):
                _put(queue, job, pipeline, waits=bool(spec.depends_on))
            with suppress(WatchError):
                pipeline.execute()
                return [JobRef(spec.id, spec.kind.queue) for spec in specs]
    return [enqueue(connection, keys, spec) for spec in specs]


def _put(queue: RqQueue, job: Job, pipeline: Any, *, waits: bool) -> None:
    """What RQ does for a job, less its question whether the dependencies have ended: they begin with this pipeline."""
    if not waits:
        queue.enqueue_job(job, pipeline=pipeline)
        return
    pipeline.sadd(queue.redis_queues_keys, queue.key)
    job.set_status(RqStatus.DEFERRED, pipeline=pipeline)
    job.register_dependency(pipeline=pipeline)
    job.save(pipeline=pipeline)


def _build(connection: Redis, keys: Keyring, spec: JobSpec) -> tuple[RqQueue, Job]:
    queue = rq_queue(connection, spec.kind.queue)
    job = queue.create_job(
        spec.kind.path,
        args=(_payload(spec, keys),),
        job_id=spec.id,
        status=RqStatus.QUEUED,
        timeout=spec.kind.timeout_seconds,
        result_ttl=spec.kind.result_ttl_seconds,
        failure_ttl=spec.kind.failure_ttl_seconds,
        retry=Retry(max=spec.kind.retries) if spec.kind.retries else None,
        depends_on=list(spec.depends_on) or None,
        description=describe(spec),
        meta={"name": spec.kind.name, "project": spec.project, "trace_id": spec.trace_id or spec.id},
    )
    assert isinstance(job, Job)
    return queue, job


def describe(spec: JobSpec) -> str:
    """The call as people read it, long values cut."""
    shown = ", ".join(f"{name}={_cut(value)}" for name, value in spec.args.items())
    return f"{spec.kind.name}({shown})"


def _cut(value: Any) -> str:
    text = repr(value) if not isinstance(value, list | dict) or len(value) < 4 else f"<{len(value)} items>"
    return text if len(text) <= 60 else f"{text[:57]}…"


def _payload(spec: JobSpec, keys: Keyring) -> dict[str, Any]:
    try:
        envelope = seal(spec, keys)
        size = len(json.dumps(envelope, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise InvalidArguments(f"{spec.kind.name}: the arguments are not JSON: {error}") from None
    if size > PAYLOAD_LIMIT:
        raise InvalidArguments(
            f"{spec.kind.name}: {size:,} bytes of arguments; at most {PAYLOAD_LIMIT:,} travel in a job"
        )
    return envelope
