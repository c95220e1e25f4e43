"""Job kinds for isolated processes: what a job may do to its own child."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ltmc_jobs.errors import Conflict
from ltmc_jobs.registry import JobKind, Queue
from ltmc_jobs.services import Services

MODULE = "tests.workers.isolated_kinds"


def _kind(function: Callable[..., Any]) -> JobKind:
    name = function.__name__
    return JobKind(name=f"isolated_{name}", path=f"{MODULE}.{name}", queue=Queue.DEFAULT)


def give_pid(services: Services, **given: Any) -> dict[str, Any]:
    assert services.job is not None
    return {"pid": os.getpid(), "given": given, "attempt": services.job.attempt, "project": services.current.project}


def talk(services: Services) -> dict[str, Any]:
    assert services.job is not None
    services.job.progress(1, 3, "one of three")
    services.job.log("a line")
    os.write(1, b"this goes nowhere, and into no answer")
    return {"left": services.job.deadline - time.monotonic(), "cancelled": services.job.cancelled()}


def conflict(services: Services) -> None:
    raise Conflict("it does not fit", thing="door")


def leave(services: Services) -> None:
    sys.exit(3)


def give_a_set(services: Services) -> set[int]:
    return {1}


def hang(services: Services, file: str) -> None:
    """Deaf to signals, with Python's lock held in native code, and with a child of its own."""
    for number in (signal.SIGTERM, signal.SIGALRM, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    started = subprocess.Popen(["sleep", "60"])
    Path(file).write_text(f"{os.getpid()} {started.pid}")
    ctypes.PyDLL(None).sleep(60)


def crash(services: Services) -> None:
    sys.stderr.write("the last words\n")
    sys.stderr.flush()
    ctypes.string_at(0)


def be_killed(services: Services) -> None:
    kept = bytearray(os.urandom(1)) * (200 << 20)
    os.kill(os.getpid(), signal.SIGKILL)
    del kept


def keep(services: Services, megabytes: int) -> dict[str, Any]:
    KEPT.append(bytearray(b"x") * (megabytes << 20))
    return {"pid": os.getpid()}


KEPT: list[bytearray] = []
GIVE_PID, TALK, CONFLICT, LEAVE, GIVE_A_SET, HANG, CRASH, BE_KILLED, KEEP = (
    _kind(function) for function in (give_pid, talk, conflict, leave, give_a_set, hang, crash, be_killed, keep)
)
