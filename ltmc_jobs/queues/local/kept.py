"""KeptQueue: a queue for a process that has none: what would be enqueued is kept, and run by whoever asked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

import redis
from redis import Redis
from redis.asyncio import Connection as AsyncConnection
from redis.asyncio import ConnectionPool as AsyncConnectionPool
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.connection import Connection, ConnectionPool
from redis.retry import Retry

from ltmc_jobs.errors import NotFound
from ltmc_jobs.queues.contract import JobRef, JobSpec, JobStatus, Outcome
from ltmc_jobs.queues.envelope import Keyring
from ltmc_jobs.queues.queue import JobQueue

RESULTS = 1000
NO_CONNECTION = "this process uses no Redis"


class _NoConnection(Connection):
    def connect(self) -> None:
        raise redis.ConnectionError(NO_CONNECTION)


class _NoAsyncConnection(AsyncConnection):
    async def connect(self) -> None:
        raise redis.ConnectionError(NO_CONNECTION)


def unconnected() -> tuple[Redis, AsyncRedis]:
    """Clients that connect to nothing: every command fails at once."""
    pool = ConnectionPool(connection_class=_NoConnection, retry=Retry(NoBackoff(), 0))
    async_pool = AsyncConnectionPool(connection_class=_NoAsyncConnection, retry=AsyncRetry(NoBackoff(), 0))
    return Redis(connection_pool=pool), AsyncRedis(connection_pool=async_pool)


class KeptQueue(JobQueue):
    """Only what a running job asks of its queue: what follows is put in, results of what went before are read."""

    def __init__(self, connection: Redis, keys: Keyring) -> None:
        super().__init__(connection, keys)
        self._following: list[JobSpec] = []
        self._results: dict[str, Any] = {}

    def ensure(self, specs: Sequence[JobSpec]) -> list[JobRef]:
        """Keep them until `take`."""
        self._following += specs
        return [JobRef(spec.id, spec.kind.queue) for spec in specs]

    def take(self) -> list[JobSpec]:
        """What was kept since this was last asked."""
        kept, self._following = self._following, []
        return kept

    def keep_result(self, job_id: str, result: Any) -> None:
        """Remember the result of a job for those that follow it."""
        self._results[job_id] = result
        while len(self._results) > RESULTS:
            self._results.pop(next(iter(self._results)))

    def outcome(self, job_id: str, seconds: float) -> Outcome:  # noqa: ARG002 - the seam's
        """Without waiting."""
        if job_id not in self._results:
            raise NotFound(f"there is no job {job_id} in this process", job_id=job_id)
        return Outcome(job_id, JobStatus.FINISHED, self._results[job_id])

    def forget(self, job_ids: Iterable[str]) -> int:
        """Let go of these results."""
        gone = 0
        for job_id in job_ids:
            with suppress(KeyError):
                del self._results[job_id]
                gone += 1
        return gone
