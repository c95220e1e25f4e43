"""The queue's seam: what goes in (JobSpec), what comes out (Outcome, JobInfo), what a running job sees (JobContext).

Whatever stands behind the seam passes tests/contracts/test_queue.py.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from ltmc_jobs.errors import JobCancelled, JobLost, LtmcError
from ltmc_jobs.registry import JobKind, Queue


def new_job_id() -> str:
    """A UUIDv7: unique, url-safe, 62 random bits, and sortable by time to a quarter of a microsecond."""
    milliseconds, rest = divmod(time.time_ns(), 1_000_000)
    value = f"{milliseconds:012x}7{rest * 4096 // 1_000_000:03x}{os.urandom(8).hex()}"
    return f"{value[:8]}-{value[8:12]}-{value[12:16]}-{'89ab'[int(value[16], 16) & 3]}{value[17:20]}-{value[20:]}"


def following_job_id(parent: str, name: str) -> str:
    """The id of a job that follows from another: the same each time, so that a re-run enqueues nothing twice."""
    try:
        space = uuid.UUID(parent)
    except ValueError:  # an id that a user chose
        space = uuid.uuid5(uuid.NAMESPACE_OID, parent)
    return str(uuid.uuid5(space, name))


INPUT_REQUIRED = "input_required"  # how a deferred job is shown that waits for answers
ASKED = ("questions", "asks_first")


class JobStatus(StrEnum):
    """Where a job stands; RQ's words."""

    QUEUED = "queued"
    DEFERRED = "deferred"
    SCHEDULED = "scheduled"
    STARTED = "started"
    FINISHED = "finished"
    FAILED = "failed"
    STOPPED = "stopped"
    CANCELED = "canceled"

    @classmethod
    def is_end(cls, name: str) -> bool:
        """Whether a state of this name is one that a job ends in."""
        return name in (cls.FINISHED, cls.FAILED, cls.STOPPED, cls.CANCELED)

    @property
    def is_final(self) -> bool:
        return self in (JobStatus.FINISHED, JobStatus.FAILED, JobStatus.STOPPED, JobStatus.CANCELED)


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls: how they were let in, and the names they gave themselves."""

    name: str = "local"
    agent_id: str | None = None
    session_id: str | None = None


ANYONE = Principal()
ANONYMOUS = "anonymous"  # the name of a caller of whom nothing is known


@dataclass(frozen=True, slots=True)
class JobSpec:
    """A job to be: what to run with which arguments, for whom; at once, or when its time comes.

    `delay_seconds` counts from when the server takes it; `run_at` is seconds since 1970 by the server's clock.
    `queue` and `result_ttl_seconds` are the kind's where they are None. `like` is what it has in common with calls that
    it may join: "open:KEY" one that has not ended, "waiting:KEY" one that has not begun. `digest` is of `args`, kept
    with the job where its id was the caller's choice: the same id must not come with others.
    """

    kind: JobKind
    args: dict[str, Any]
    project: str
    id: str = field(default_factory=new_job_id)
    principal: Principal = ANYONE
    trace_id: str = ""
    cache_key: str | None = None
    depends_on: tuple[str, ...] = ()
    delay_seconds: float | None = None
    run_at: float | None = None
    queue: Queue | None = None
    result_ttl_seconds: int | None = None
    like: str = ""
    digest: str = ""


@dataclass(frozen=True, slots=True)
class JobRef:
    """An enqueued job. `created` is False when a job of this id was there already, or another was joined.

    `durable` says, where it was asked for, whether the server confirmed it as kept (on its disk, or by a replica).
    """

    id: str
    queue: str
    created: bool = True
    durable: bool | None = None


@dataclass(frozen=True, slots=True)
class JobInfo:
    """What is known of a job. Times are ISO 8601 in UTC; `error` is an LtmcError as a dict."""

    id: str
    name: str
    status: JobStatus
    queue: str
    project: str
    created_at: str | None
    enqueued_at: str | None
    started_at: str | None
    ended_at: str | None
    result: Any
    error: dict[str, Any] | None
    attempts: int
    meta: dict[str, Any]
    updated_at: str | None = None
    timeout_seconds: int = 0
    kept_seconds: int | None = None  # how long after its end; None: for ever
    questions: dict[str, Any] | None = None  # what it asks and waits for: `{key: {method, params}}`
    asks_first: bool = False  # it asks before it has begun with anything

    @property
    def shown_status(self) -> str:
        """RQ's word, or `input_required` for a job that waits for answers."""
        return INPUT_REQUIRED if self.questions else self.status.value

    def as_dict(self) -> dict[str, Any]:
        """JSON-serialisable, the id also as `job_id`."""
        shown = {"job_id": self.id} | asdict(self) | {"status": self.shown_status}
        return {name: value for name, value in shown.items() if name not in ASKED or self.questions}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a wait ended with: a result, an error, questions, or none of them when the time was over."""

    job_id: str
    status: JobStatus
    result: Any = None
    error: LtmcError | None = None
    questions: dict[str, Any] | None = None
    asks_first: bool = False

    @classmethod
    def of(cls, info: JobInfo, error: LtmcError | None = None) -> Outcome:
        """The outcome that a job's state amounts to."""
        if error is None and info.status in (JobStatus.CANCELED, JobStatus.STOPPED):
            error = JobCancelled()
        if error is None and info.status == JobStatus.FAILED:
            error = JobLost("the job's worker died while it ran")
        return cls(info.id, info.status, info.result, error, info.questions, info.asks_first)

    @property
    def is_final(self) -> bool:
        return self.status.is_final

    def unwrap(self) -> Any:
        """The result; raises the job's error."""
        if self.error is not None:
            raise self.error
        return self.result


class JobContext(Protocol):
    """What a function may ask and tell while it runs."""

    @property
    def job_id(self) -> str: ...

    @property
    def attempt(self) -> int:
        """1 on the first run."""

    @property
    def deadline(self) -> float:
        """Monotonic time at which the job is stopped."""

    def progress(self, done: float, total: float | None = None, message: str = "") -> None: ...

    def log(self, line: str) -> None: ...

    def cancelled(self) -> bool: ...


class Jobs(Protocol):
    """The seam itself."""

    def enqueue(self, spec: JobSpec, *, durable: bool = False) -> JobRef: ...

    def enqueue_many(self, specs: Sequence[JobSpec], *, durable: bool = False) -> list[JobRef]: ...

    def outcome(self, job_id: str, seconds: float) -> Outcome:
        """Wait for a job's end for at most so long; raises NotFound."""

    def status(self, job_id: str) -> JobInfo: ...

    def cancel(self, job_id: str) -> bool:
        """True if the job will never run, or is being stopped."""

    def list(
        self, *, project: str | None = None, status: JobStatus | None = None, queue: str | None = None, limit: int = 50
    ) -> list[JobInfo]:
        """Newest first."""
