"""Processes of this machine: is one still the one that we knew, and how it is asked to go."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import psutil

STOP_SECONDS = 30.0  # how long a process may take to end what it is at
# Elsewhere the start is a time of day, which shifts when the clock is set.
TOLERANCE_SECONDS = 0.1 if Path("/proc/self/stat").exists() else 60.0


def started(pid: int) -> float:
    """When the process that has this pid now started, in seconds; psutil.Error when none has it.

    On Linux since the boot, as the kernel counts: the time of day may be set while a process runs.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return psutil.Process(pid).create_time()
    return int(stat.rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")


def find(pid: int, since: float) -> psutil.Process | None:
    """The process, if this pid is still the one that started then: pids are given out again."""
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        if abs(started(pid) - since) < TOLERANCE_SECONDS and alive(process):
            return process
    return None


def alive(process: psutil.Process) -> bool:
    """Whether it runs; one that only waits to be reaped by somebody slow does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def wait_gone(process: psutil.Process, seconds: float) -> bool:
    """Wait until it ended."""
    deadline = time.monotonic() + seconds
    while alive(process):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def end(process: psutil.Process, seconds: float) -> None:
    """SIGTERM, then SIGKILL when it has not gone in time."""
    with suppress(psutil.Error):
        process.terminate()
        if not wait_gone(process, seconds):
            process.kill()
            wait_gone(process, 5)


def describe(code: int) -> str:
    """An exit code in words."""
    return f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"
