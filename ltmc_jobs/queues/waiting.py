"""Wait for a job's end without polling: one blocking read of its result stream, re-read now and then."""

from __future__ import annotations

import asyncio
import time

from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from ltmc_jobs.queues.contract import JobInfo, JobStatus, Outcome
from ltmc_jobs.queues.inspect import ask_state, error_of, read_state, results_key

# A cancelled or lost job may end without a stream entry, so the state is read again this often.
# Well below Shared's SOCKET_SECONDS: a blocking read longer than that would look like a dead server.
REREAD_SECONDS = 4.0


def outcome(connection: Redis, job_id: str, seconds: float) -> Outcome:
    """Wait for at most so long; the outcome says whether the job has ended. NotFound for an unknown job."""
    deadline = time.monotonic() + seconds
    while True:
        pipeline = connection.pipeline()
        ask_state(pipeline, job_id)
        info, last = read_state(job_id, pipeline.execute())
        left = deadline - time.monotonic()
        if info.status.is_final or left <= 0:
            return _outcome(info)
        connection.xread({results_key(job_id): last}, block=_milliseconds(left))


async def async_outcome(connection: AsyncRedis, job_id: str, seconds: float) -> Outcome:
    """The same without blocking the event loop; holds one connection while it waits."""
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        pipeline = connection.pipeline()
        ask_state(pipeline, job_id)
        info, last = read_state(job_id, await pipeline.execute())
        left = deadline - asyncio.get_running_loop().time()
        if info.status.is_final or left <= 0:
            return _outcome(info)
        await connection.xread({results_key(job_id): last}, block=_milliseconds(left))


def _outcome(info: JobInfo) -> Outcome:
    return Outcome.of(info, error_of(info) if info.status == JobStatus.FAILED else None)


def _milliseconds(left: float) -> int:
    return max(1, int(min(left, REREAD_SECONDS) * 1000))
