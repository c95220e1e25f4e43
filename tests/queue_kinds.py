"""Job kinds for the tests of the queue: what a worker process of theirs can run."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from ltmc_jobs.errors import Conflict, Misconfigured, Unavailable
from ltmc_jobs.registry import JobKind, Queue
from ltmc_jobs.services import Services


def _kind(name: str, **options: Any) -> JobKind:
    return JobKind(name=name, path=f"tests.queue_kinds.{name}", **({"queue": Queue.DEFAULT} | options))


def echo(services: Services, **given: Any) -> dict[str, Any]:
    assert services.job is not None
    return {"given": given, "attempt": services.job.attempt, "project": services.current.project}


def append(services: Services, file: str, line: str, seconds: float = 0.0) -> dict[str, Any]:
    time.sleep(seconds)
    with Path(file).open("a") as written:
        written.write(line + "\n")
    return {"line": line}


def turn_away(services: Services, file: str) -> None:
    append(services, file, "ran")
    raise Conflict("it does not fit", thing="door")


def be_away(services: Services, file: str, times: int) -> dict[str, Any]:
    append(services, file, "ran")
    assert services.job is not None
    if services.job.attempt <= times:
        raise Unavailable("come back later")
    return {"attempt": services.job.attempt}


def be_misconfigured(services: Services) -> None:
    raise Misconfigured("secret inner words about a file")


def crash(services: Services) -> None:
    raise ZeroDivisionError("secret inner words")


def die_once(services: Services, file: str) -> dict[str, Any]:
    if not Path(file).exists():
        append(services, file, "died")
        os.kill(os.getpid(), signal.SIGKILL)
    return {"lived": True}


def report(services: Services, file: str) -> dict[str, Any]:
    assert services.job is not None
    services.job.progress(1, 3, "one of three")
    services.job.log("a line")
    while not Path(file).exists():
        time.sleep(0.01)
    return {"cancelled": services.job.cancelled(), "left": services.job.deadline - time.monotonic()}


def change_and_fail(services: Services) -> None:
    raise Conflict("after something was changed")


CHANGE_AND_FAIL = _kind("change_and_fail", changes=("memory",))
ECHO = _kind("echo")
ECHO_LOW = JobKind(name="echo_low", path="tests.queue_kinds.echo", queue=Queue.LOW)
APPEND = _kind("append")
REFUSE = _kind("turn_away")
BE_AWAY = _kind("be_away")
CRASH = _kind("crash", retries=0)
BE_MISCONFIGURED = _kind("be_misconfigured", retries=0)
DIE_ONCE = _kind("die_once")
REPORT = _kind("report")
BRIEF = JobKind(
    name="brief",
    path="tests.queue_kinds.append",
    queue=Queue.DEFAULT,
    timeout_seconds=1,
    retries=0,
    result_ttl_seconds=60,
)
