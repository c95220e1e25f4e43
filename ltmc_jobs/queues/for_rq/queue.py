"""Queue: RQ's own, for code that was written for RQ; what it enqueues is declared, signed, and run by our workers.

    queue = Queue("default", connection=redis)
    queue.enqueue("store_memory", file_name="a.md", content="…", retry=Retry(max=3), depends_on=other)

Beside RQ: the same job id again changes nothing; times are the server's; a job's kind says its time-out and how long it
is kept, where the call does not. What nobody signs is refused by name: callbacks, webhooks. So are `repeat` (use the
Scheduler), groups, a pipeline of the caller's, and `is_async=False`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import rq
from redis import Redis
from rq import Retry
from rq.exceptions import DuplicateJobError

from ltmc_jobs import registry
from ltmc_jobs.errors import InvalidArguments
from ltmc_jobs.queues import producer
from ltmc_jobs.queues.contract import ANYONE, JobSpec, Principal, new_job_id
from ltmc_jobs.queues.envelope import Keyring
from ltmc_jobs.queues.for_rq.calls import Function, declared_kind, named_arguments
from ltmc_jobs.queues.for_rq.job import Job
from ltmc_jobs.queues.reach import reaching
from ltmc_jobs.settings import Settings
from ltmc_jobs.terms import PRIORITIES

UNSUPPORTED = {
    "on_success": "callbacks are not signed; enqueue what follows with depends_on",
    "on_failure": "callbacks are not signed; enqueue what follows with Dependency(allow_failure=True)",
    "on_stopped": "callbacks are not signed",
    "webhooks": "RQ's webhooks are not signed",
    "repeat": "declare what recurs with the Scheduler",
    "group_id": "groups are not supported; give the jobs one dependent",
    "pipeline": "a job is put in by one step of its own; enqueue_many takes several",
}
WRITTEN_APART = (
    "data",
    "created_at",
    "status",
    "origin",
    "enqueued_at",
    "description",
    "dependency_id",
    "dependency_ids",
)


class Queue(rq.Queue):
    """RQ's Queue, whose jobs `keys` sign (the installation's own, if none are given) for a project and a principal."""

    job_class = Job

    def __init__(
        self,
        name: str = "default",
        connection: Redis | None = None,
        default_timeout: int | None = None,
        is_async: bool = True,
        *more: Any,
        keys: Keyring | None = None,
        project: str = "default",
        principal: Principal = ANYONE,
        **options: Any,
    ) -> None:
        if not is_async:
            raise InvalidArguments("is_async=False: jobs run in workers alone")
        super().__init__(name, connection, default_timeout, is_async, *more, **options)
        self._own_timeout = default_timeout
        self._keys = keys
        self._project = project
        self._principal = principal

    def create_job(
        self,
        func: Function,
        args: Sequence[Any] | None = None,
        kwargs: dict[str, Any] | None = None,
        timeout: Any = None,
        result_ttl: Any = None,
        ttl: Any = None,
        failure_ttl: Any = None,
        description: str | None = None,
        depends_on: Any = None,
        job_id: str | None = None,
        meta: dict[str, Any] | None = None,
        status: Any = None,
        retry: Retry | int | None = None,
        repeat: Any = None,
        **unsupported: Any,
    ) -> Job:
        """A signed job that is nowhere yet; UnknownMethod, InvalidArguments for what cannot be one."""
        _refuse(unsupported | {"repeat": repeat})
        kind = declared_kind(func)
        self._check_place(kind)
        arguments = named_arguments(kind, func, args or (), kwargs or {})
        spec = JobSpec(kind, arguments, self._project, job_id or new_job_id(), self._principal)
        flat = producer.job_fields(spec, self.keys)
        fields = dict(zip(flat[::2], flat[1::2], strict=True))
        job: Any = super().create_job(
            kind.path,
            timeout=timeout or self._own_timeout or kind.timeout_seconds,
            result_ttl=kind.result_ttl_seconds if result_ttl is None else result_ttl,
            ttl=ttl,
            failure_ttl=kind.failure_ttl_seconds if failure_ttl is None else failure_ttl,
            description=description or fields["description"],
            depends_on=depends_on,
            job_id=spec.id,
            meta=(meta or {}) | {"name": kind.name, "project": self._project},
            status=status,
            retry=Retry(max=retry) if isinstance(retry, int) else retry,
        )
        if retry is None and kind.retries:
            job.retries_left = kind.retries
        job.data = fields["data"].encode()
        job.sealed_for = self.name
        return job  # type: ignore[no-any-return]

    def enqueue_job(self, job: Any, pipeline: Any = None, at_front: bool = False, unique: bool = False) -> Job:
        """Put a job of `create_job` in; one with the same id that is there already is left as it is."""
        _refuse({"pipeline": pipeline})
        return self._put([job], [at_front], unique=unique)[0]

    def schedule_job(self, job: Any, datetime: datetime | timedelta, pipeline: Any = None, unique: bool = False) -> Job:
        """Put a job of `create_job` in for a time (without a zone: this host's), or for so long from now."""
        _refuse({"pipeline": pipeline})
        moment = datetime
        due = f"+{moment.total_seconds():.6f}" if isinstance(moment, timedelta) else f"{moment.timestamp():.6f}"
        return self._put([job], [False], due, unique=unique)[0]

    def enqueue_in(self, time_delta: timedelta, func: Any, *args: Any, **kwargs: Any) -> Job:
        """As `enqueue_at`, so long from now by the server's clock."""
        return self.enqueue_at(time_delta, func, *args, **kwargs)  # type: ignore[no-any-return, arg-type]

    def enqueue_many(self, job_datas: Iterable[Any], pipeline: Any = None, group_id: str | None = None) -> list[Job]:  # type: ignore[override]
        """Put many in (of `prepare_data`), in their order, a thousand in one step."""
        _refuse({"pipeline": pipeline, "group_id": group_id})
        jobs, fronts = [], []
        for one in job_datas:
            options = one._asdict()
            fronts.append(bool(options.pop("at_front")))
            jobs.append(self.create_job(**options))
        return self._put(jobs, fronts)

    @property
    def keys(self) -> Keyring:
        """What signs."""
        if self._keys is None:
            self._keys = Keyring.load(Settings.load())
        return self._keys

    def _check_place(self, kind: registry.JobKind) -> None:
        names = [queue.value for queue in registry.Queue]
        if self.name not in names:
            raise InvalidArguments(f"no worker works on a queue {self.name!r}; there are {', '.join(names)}")
        if self.name != kind.queue and not (self.name in PRIORITIES and kind.queue in PRIORITIES):
            raise InvalidArguments(
                f"{kind.name} runs on the queue {kind.queue.value} only: Queue({kind.queue.value!r})"
            )

    def _put(self, jobs: list[Any], fronts: list[bool], due: str = "", *, unique: bool = False) -> list[Job]:
        for job in jobs:
            if getattr(job, "sealed_for", None) != self.name:
                raise InvalidArguments("make a job by this queue's enqueue or create_job; job.requeue() runs one again")
        with reaching():
            made = [
                one
                for start in range(0, len(jobs), producer.CHUNK)
                for command in self._commands(jobs[start : start + producer.CHUNK], fronts[start:], due)
                for one in producer.ENQUEUE.run(self.connection, command)
            ]
            if unique and not all(made):
                raise DuplicateJobError(f"there is a job {jobs[0].id} already")
            pipeline = self.connection.pipeline(transaction=False)
            for job in jobs:
                pipeline.hgetall(job.key)
            for job, fields in zip(jobs, pipeline.execute(), strict=True):
                if fields:  # else it has ended already, and is not kept
                    job.restore(fields)
        return jobs

    def _commands(self, jobs: list[Any], fronts: list[bool], due: str) -> Iterator[list[Any]]:
        """The scripts' arguments, none of them larger than the server should read at once."""
        heads: list[Any] = []
        rows: list[Any] = []
        size = count = 0
        for job, at_front in zip(jobs, fronts, strict=False):
            if rows and size + len(job.data) > producer.CHUNK_BYTES:
                yield [count, *heads, *rows]
                heads, rows, size, count = [], [], 0, 0
            fields = {name: value for name, value in job.to_dict().items() if name not in WRITTEN_APART and value != ""}
            if at_front or job.enqueue_at_front:
                fields["enqueue_at_front"] = 1
            flat = [part for pair in fields.items() for part in pair]
            count += 1
            size += len(job.data)
            heads += (self.name, producer.noted(self._project), len(flat), *flat)
            rows += (count, job.id, job.data, job.description, due, " ".join(job._dependency_ids), "", "", "")
        yield [count, *heads, *rows]


def _refuse(options: dict[str, Any]) -> None:
    for name, value in options.items():
        if value is not None:
            raise InvalidArguments(f"{name}: {UNSUPPORTED.get(name, 'there is no such option')}")
