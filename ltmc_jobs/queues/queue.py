"""JobQueue: the seam over RQ's own classes, blocking; AsyncJobQueue: the same for an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ParamSpec, TypeVar

from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from ltmc_jobs.queues import inspect, producer, revival, waiting
from ltmc_jobs.queues.contract import JobInfo, JobRef, JobSpec, JobStatus, Outcome
from ltmc_jobs.queues.envelope import Keyring
from ltmc_jobs.queues.reach import reaching

P = ParamSpec("P")
T = TypeVar("T")


def reached(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call; the server's absence or refusal becomes QueueUnavailable."""
    with reaching():
        return function(*args, **kwargs)


class JobQueue:
    """Put jobs in and look at them. `connection` is a Redis or Valkey; `keys` sign what goes in."""

    def __init__(self, connection: Redis, keys: Keyring) -> None:
        self.connection = connection
        self._keys = keys

    def enqueue(self, spec: JobSpec) -> JobRef:
        return reached(producer.enqueue, self.connection, self._keys, spec)

    def enqueue_many(self, specs: Sequence[JobSpec]) -> list[JobRef]:
        return reached(producer.enqueue_many, self.connection, self._keys, specs)

    def ensure(self, specs: Sequence[JobSpec]) -> list[JobRef]:
        """Enqueue what is not there, and anew what ended without success or waits for what did."""
        return reached(revival.ensure, self.connection, self._keys, specs)

    def on_their_way(self, specs: Sequence[JobSpec]) -> bool:
        """Whether jobs that follow one another will end without anybody's help, and some have not yet."""
        return reached(revival.on_their_way, self.connection, specs)

    def forget(self, job_ids: Iterable[str]) -> int:
        """Delete finished jobs with their results; how many there were."""
        return reached(revival.forget, self.connection, job_ids)

    def outcome(self, job_id: str, seconds: float) -> Outcome:
        return reached(waiting.outcome, self.connection, job_id, seconds)

    def status(self, job_id: str) -> JobInfo:
        return reached(inspect.status, self.connection, job_id)

    def cancel(self, job_id: str) -> bool:
        return reached(inspect.cancel, self.connection, job_id)

    def retry(self, job_id: str) -> JobInfo:
        return reached(inspect.retry, self.connection, job_id)

    def list(
        self, *, project: str | None = None, status: JobStatus | None = None, queue: str | None = None, limit: int = 50
    ) -> list[JobInfo]:
        return reached(inspect.list_jobs, self.connection, project=project, status=status, queue=queue, limit=limit)

    def counts(self) -> dict[str, dict[str, int]]:
        return reached(inspect.counts, self.connection)

    def forget_expired(self) -> int:
        return reached(inspect.forget_expired, self.connection)

    def workers(self) -> Sequence[dict[str, Any]]:
        return reached(inspect.workers, self.connection)


class AsyncJobQueue:
    """The same seam for an event loop: RQ's blocking calls run in threads, waits in the loop itself."""

    def __init__(self, blocking: JobQueue, connection: AsyncRedis) -> None:
        self._blocking = blocking
        self._connection = connection

    async def enqueue(self, spec: JobSpec) -> JobRef:
        return await asyncio.to_thread(self._blocking.enqueue, spec)

    async def outcome(self, job_id: str, seconds: float) -> Outcome:
        with reaching():
            return await waiting.async_outcome(self._connection, job_id, seconds)

    async def status(self, job_id: str) -> JobInfo:
        return await asyncio.to_thread(self._blocking.status, job_id)

    async def cancel(self, job_id: str) -> bool:
        return await asyncio.to_thread(self._blocking.cancel, job_id)

    async def retry(self, job_id: str) -> JobInfo:
        return await asyncio.to_thread(self._blocking.retry, job_id)

    async def list(
        self, *, project: str | None = None, status: JobStatus | None = None, queue: str | None = None, limit: int = 50
    ) -> list[JobInfo]:
        return await asyncio.to_thread(self._blocking.list, project=project, status=status, queue=queue, limit=limit)

    async def counts(self) -> dict[str, dict[str, int]]:
        return await asyncio.to_thread(self._blocking.counts)

    async def workers(self) -> Sequence[dict[str, Any]]:
        return await asyncio.to_thread(self._blocking.workers)
