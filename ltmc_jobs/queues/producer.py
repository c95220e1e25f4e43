"""Enqueue: one or many, idempotent by job id, each with its signed envelope."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from redis import Redis
from rq import Queue as RqQueue
from rq import Retry
from rq.exceptions import DuplicateJobError
from rq.job import JobStatus as RqStatus
from rq.serializers import JSONSerializer

from ltmc_jobs.errors import InvalidArguments
from ltmc_jobs.queues.contract import JobRef, JobSpec
from ltmc_jobs.queues.envelope import Keyring, seal
from ltmc_jobs.queues.rq_job import Job

PAYLOAD_LIMIT = 8 * 1024 * 1024  # bytes; larger things belong into the stores


@lru_cache(maxsize=256)
def rq_queue(connection: Redis, name: str) -> RqQueue:
    """RQ's queue of this name, with our job class and JSON on both directions; it asks the server's version once."""
    return RqQueue(name, connection=connection, job_class=Job, serializer=JSONSerializer)


def enqueue(connection: Redis, keys: Keyring, spec: JobSpec) -> JobRef:
    """Put a job into its queue; the same id again changes nothing."""
    queue = rq_queue(connection, spec.kind.queue)
    if Job.exists(spec.id, connection=connection):
        return JobRef(spec.id, spec.kind.queue, created=False)
    job = _build(queue, spec, _payload(spec, keys))
    try:
        # RQ checks uniqueness in one step only for jobs without dependencies; following jobs, which have them,
        # are enqueued by the one worker that runs their parent.
        queue.enqueue_job(job, unique=not spec.depends_on)
    except DuplicateJobError:
        return JobRef(spec.id, spec.kind.queue, created=False)
    return JobRef(spec.id, spec.kind.queue)


def enqueue_many(connection: Redis, keys: Keyring, specs: Sequence[JobSpec]) -> list[JobRef]:
    """Enqueue in order, so that a job may depend on an earlier one of the same list."""
    return [enqueue(connection, keys, spec) for spec in specs]


def _build(queue: RqQueue, spec: JobSpec, envelope: dict[str, Any]) -> Job:
    job = queue.create_job(
        spec.kind.path,
        args=(envelope,),
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
    return job


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
