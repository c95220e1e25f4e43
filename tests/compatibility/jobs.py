"""Jobs of now and of the release before, and what has become of them."""

from __future__ import annotations

import json
from typing import Any

import rq
from rq import Retry
from rq.serializers import JSONSerializer

from ltmc_jobs.errors import Conflict
from ltmc_jobs.queues.contract import JobSpec, JobStatus
from ltmc_jobs.queues.envelope import seal
from ltmc_jobs.registry import JobKind
from ltmc_jobs.shared import Shared
from tests.conftest import wait_until
from tests.fleet import WorkerProcesses

WAIT = 20.0


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
