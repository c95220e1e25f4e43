"""Files and directories that only their owner can read, secrets in them, and locks on them."""

from __future__ import annotations

import fcntl
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import IO, BinaryIO

from ltmc_jobs.errors import Misconfigured


def own(path: Path) -> IO[str]:
    """Take a lock for as long as the returned file stays open; Misconfigured names the owner."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    lock = os.fdopen(descriptor, "r+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = lock.read().strip() or "unknown"
        lock.close()
        raise Misconfigured(f"{path.parent} is in use by pid {holder}; stop that, or set another LTMC_HOME") from None
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock


def make_private(directory: Path) -> None:
    """Make a directory, and those missing above it, for the owner alone; one that was in use keeps its rights."""
    try:
        for missing in [path for path in directory.parents if not path.exists()][::-1]:
            missing.mkdir(mode=0o700, exist_ok=True)  # `parents=True` would leave these to the umask
        directory.mkdir(exist_ok=True, mode=0o700)
        # Not one with content: LTMC_HOME=/tmp must not lock everybody else out.
        if not any(directory.iterdir()):
            directory.chmod(0o700)
    except OSError as error:
        raise Misconfigured(f"{directory} cannot be used: {error.strerror}; set LTMC_HOME to another") from None


def write_private(path: Path, text: str) -> None:
    """Replace a file at once and whole; at no time can another user read it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def make_secret(path: Path) -> str:
    """The secret in a file; made now, 48 random bytes, if there is none. Of two makers at once, the first counts."""
    if not path.exists():
        made = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(48) + "\n")
        with suppress(FileExistsError):
            os.link(made, path)
        made.unlink()
    return path.read_text().strip()


def open_log(path: Path) -> BinaryIO:
    """Open a log to add to its end."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab")
