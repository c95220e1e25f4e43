"""The index has one writer on a machine: whoever holds this lock."""

from __future__ import annotations

import fcntl
import os

from ltmc_jobs.private_files import make_private
from ltmc_jobs.settings import Settings


def become(settings: Settings, *, wait: bool) -> int | None:
    """The lock's descriptor, for as long as it stays open; None where another has it and `wait` is not wanted."""
    make_private(settings.run_directory)
    lock = os.open(settings.run_directory / "vectors.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        os.close(lock)
        return None
    return lock
