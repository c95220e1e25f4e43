"""A file that is complete before it gets its name: known by length and checksum, written by one process at a time."""

from __future__ import annotations

import contextlib
import fcntl
import os
import zlib
from collections.abc import Iterator
from pathlib import Path

Signature = tuple[int, int, int]  # inode, length, time of change: another one is another file


def signature_of(path: Path) -> Signature | None:
    """What tells this file from another of its name; None without one."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def checksum(path: Path) -> tuple[int, int]:
    """Length and CRC-32 of a file; at 1 GB/s and more, once for each new file."""
    crc32 = 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            crc32 = zlib.crc32(block, crc32)
        return file.tell(), crc32


def sync(path: Path) -> None:
    """Return when a file or directory is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def write_whole(path: Path) -> Iterator[Path]:
    """A file to write, the owner's alone; at the end it is on the disk, and then gets its name."""
    unfinished = path.with_name(f"{path.name}.tmp")
    os.close(os.open(unfinished, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600))
    yield unfinished
    unfinished.chmod(0o600)
    sync(unfinished)
    unfinished.rename(path)
    sync(path.parent)


@contextlib.contextmanager
def writer(directory: Path) -> Iterator[bool]:
    """Whether this process may write; the kernel takes the lock back from one that dies."""
    descriptor = os.open(directory / "writer.lock", os.O_CREAT | os.O_RDWR, 0o600)
    try:
        alone = False
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            alone = True
        yield alone
    finally:
        os.close(descriptor)
