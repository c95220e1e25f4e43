"""Job kinds that leave a trace outside Redis: one line when a run begins, one when it ends; and one that kills."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from functools import cache
from typing import Any

from ltmc_jobs.registry import ExecutorName, JobKind, Queue
from ltmc_jobs.services import Services

MODULE = "tests.chaos.kinds"


def trace(services: Services, file: str, seconds: float) -> dict[str, Any]:
    """Take so long, on the main thread, a thread or in a process of its own."""
    _write(services, file, "B")
    time.sleep(seconds)
    _write(services, file, "E")
    return {"pid": os.getpid()}


def last(services: Services, file: str) -> None:
    """Take a minute, or as long as one is let."""
    _write(services, file, "B")
    try:
        time.sleep(60)
    finally:
        _write(services, file, "E")


async def trace_async(services: Services, file: str, seconds: float) -> dict[str, Any]:
    """The same on an event loop."""
    _write(services, file, "B")
    await asyncio.sleep(seconds)
    _write(services, file, "E")
    return {"pid": os.getpid()}


def kill(services: Services, file: str) -> None:
    """Kill the process that runs it, whichever that is."""
    _write(services, file, "B")
    os.kill(os.getpid(), signal.SIGKILL)


def _write(services: Services, file: str, event: str) -> None:
    """`B|E job attempt pid parent seconds`; one write of one line, which appends whole."""
    assert services.job is not None
    job = services.job
    now = time.clock_gettime(time.CLOCK_MONOTONIC)
    parent = getattr(job, "starter", os.getppid())  # of a process of its own: the worker that waits for it
    line = f"{event} {job.job_id} {job.attempt} {os.getpid()} {parent} {now:.6f}\n"
    os.write(_opened(file), line.encode())


@cache
def _opened(file: str) -> int:
    return os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


def _traced(executor: ExecutorName, queue: Queue) -> JobKind:
    name = f"chaos_{executor}_{queue}"
    path = f"{MODULE}.{'trace_async' if executor == 'asyncio' else 'trace'}"
    return JobKind(name=name, path=path, queue=queue, executor=executor, timeout_seconds=60, retries=0)


EXECUTORS: tuple[ExecutorName, ...] = ("inline", "thread", "asyncio", "process")
QUEUES = (Queue.DEFAULT, Queue.LOW, Queue.EMBEDDING)
TRACED = {(executor, queue): _traced(executor, queue) for executor in EXECUTORS for queue in QUEUES}
LASTING = JobKind(
    name="chaos_lasting", path=f"{MODULE}.last", queue=Queue.DEFAULT, executor="inline", timeout_seconds=2, retries=0
)
POISON = {
    executor: JobKind(
        name=f"chaos_poison_{executor}", path=f"{MODULE}.kill", queue=Queue.DEFAULT, executor=executor, retries=0
    )
    for executor in ("inline", "thread")
}
