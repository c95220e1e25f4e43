"""Job kinds for the tests of the queue's inside: what `python -m tests.queues.worker` can run."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ltmc_jobs.errors import Conflict, Unavailable
from ltmc_jobs.registry import JobKind, Queue
from ltmc_jobs.services import Services

QUEUES = (Queue.CRITICAL, Queue.HIGH, Queue.DEFAULT, Queue.LOW)


def note(services: Services, file: str, line: str = "", seconds: float = 0.0) -> str:
    """Write a line when it begins and one when it ends, with the times."""
    with Path(file).open("a") as written:
        written.write(f"+ {line} {time.time():.6f}\n")
    time.sleep(seconds)
    with Path(file).open("a") as written:
        written.write(f"- {line} {time.time():.6f}\n")
    return line


def begun(file: str | Path) -> list[str]:
    """The lines of what has begun, in that order."""
    text = Path(file).read_text() if Path(file).exists() else ""
    return [row.split(" ")[1] for row in text.splitlines() if row.startswith("+")]


def most_at_once(file: str | Path) -> int:
    """How many ran together, at most."""
    moments = [(float(row.rpartition(" ")[2]), row[0]) for row in Path(file).read_text().splitlines()]
    running = most = 0
    for _, what in sorted(moments):  # of two at one moment, the one that begins is looked at first
        running += 1 if what == "+" else -1
        most = max(most, running)
    return most


def fail_at_first(services: Services, file: str, times: int, how: str = "away") -> int:
    """Fail so many times, in a way that is worth a retry, or not."""
    note(services, file, how)
    assert services.job is not None
    if services.job.attempt <= times:
        raise {"away": Unavailable, "conflict": Conflict, "value": ValueError, "timeout": TimeoutError}[how]("not yet")
    return services.job.attempt


async def fail_at_first_async(services: Services, file: str, times: int, how: str = "away") -> int:
    """The same as a coroutine."""
    return fail_at_first(services, file, times, how)


def go_on(services: Services, file: str, how: str, seconds: float = 60.0) -> str:
    """Run for long, and stop as willingly as `how` says: plain, stubborn, deaf, or asleep in one native call."""
    note(services, file, how)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            time.sleep(until - time.monotonic() if how == "asleep" else 0.02)
        except Exception:
            if how != "stubborn":
                raise
        except BaseException:
            if how != "deaf":
                raise
    return "to the end"


async def go_on_async(services: Services, file: str, how: str, seconds: float = 60.0) -> str:
    """The same as a coroutine."""
    note(services, file, how)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            await asyncio.sleep(0.02)
        except Exception:
            if how != "stubborn":
                raise
        except BaseException:
            if how != "deaf":
                raise
    return "to the end"


def together(services: Sequence[Services], calls: Sequence[dict[str, Any]]) -> list[Any]:
    """A batch: each call's line, with how many came together; what is named so fails."""
    ends: list[Any] = []
    for own, call in zip(services, calls, strict=True):
        note(own, call["file"], call["line"])
        assert own.job is not None
        if call["line"] == "bad":
            ends.append(Conflict("a bad one"))
        elif call["line"] == "later" and own.job.attempt == 1:
            ends.append(Unavailable("not yet"))
        elif call["line"] == "worst":
            raise ValueError("all of them")
        else:
            ends.append({"line": call["line"], "together": len(calls), "attempt": own.job.attempt})
    return ends


def linger_together(services: Sequence[Services], calls: Sequence[dict[str, Any]]) -> list[int]:
    """A batch: for a minute, if there is a slow one in it; each call's attempt."""
    attempts = []
    for own, call in zip(services, calls, strict=True):
        note(own, call["file"], call["line"])
        assert own.job is not None
        attempts.append(own.job.attempt)
    if any(call["line"] == "slow" for call in calls):
        time.sleep(60)
    return attempts


def _kind(name: str, function: str, **options: Any) -> JobKind:
    return JobKind(name=name, path=f"tests.queues.kinds.{function}", **({"queue": Queue.DEFAULT} | options))


NOTES = {queue: _kind(f"note_{queue}", "note", queue=queue) for queue in QUEUES}
NOTE = NOTES[Queue.DEFAULT]
THREAD_NOTE = _kind("thread_note", "note", executor="thread")
RETRIED = _kind("retried", "fail_at_first", retries=2, retry_seconds=0.4)
RETRIED_BY_CLASS = {
    "inline": _kind("retried_inline", "fail_at_first", retry_on=(ValueError,), retry_seconds=0.0),
    "thread": _kind("retried_thread", "fail_at_first", retry_on=(ValueError,), retry_seconds=0.0, executor="thread"),
    "asyncio": _kind(
        "retried_async", "fail_at_first_async", retry_on=(ValueError,), retry_seconds=0.0, executor="asyncio"
    ),
    "process": _kind("retried_process", "fail_at_first", retry_on=(ValueError,), retry_seconds=0.0, executor="process"),
}
LONG = {
    "inline": _kind("long_inline", "go_on", retries=0),
    "thread": _kind("long_thread", "go_on", retries=0, executor="thread"),
    "asyncio": _kind("long_async", "go_on_async", retries=0, executor="asyncio"),
    "process": _kind("long_process", "go_on", retries=0, executor="process"),
}
BRIEF = {
    "inline": _kind("brief_inline", "go_on", retries=0, timeout_seconds=1),
    "thread": _kind("brief_thread", "go_on", retries=0, timeout_seconds=1, executor="thread"),
    "asyncio": _kind("brief_async", "go_on_async", retries=0, timeout_seconds=1, executor="asyncio"),
    "process": _kind("brief_process", "go_on", retries=0, timeout_seconds=1, executor="process"),
}
TOGETHER = _kind("together", "together", batch=8, retry_seconds=0.2)
LINGERING = _kind("linger_together", "linger_together", batch=8, retries=0)
TWO_RETRIES = _kind("two_retries", "note", retries=2)
NO_RETRIES = _kind("no_retries", "note", retries=0, queue=Queue.LOW)
