"""Marks: every job notes when and in which process it ran, in a file that no queue knows of.

A mark is 16 bytes, written in one append: when (seconds of the machine's monotonic clock), which worker process.
"""

from __future__ import annotations

import os
import struct
import time
from pathlib import Path

_MARK = struct.Struct("=dq")
_opened: list[int] = []


def mark() -> None:
    """Note a job; called in the worker process."""
    if not _opened:
        slot = os.environ.get("BENCH_SLOT")  # a process that forks for each job is one worker
        _opened.extend((os.open(os.environ["BENCH_MARKS"], os.O_WRONLY | os.O_APPEND), int(slot or os.getpid())))
    os.write(_opened[0], _MARK.pack(time.monotonic(), _opened[1]))


class Marks:
    """The file, as the benchmark reads it."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.clear()

    def clear(self) -> None:
        self.file.write_bytes(b"")
        self._seen = 0
        self._slots: set[int] = set()

    def count(self) -> int:
        return self.file.stat().st_size // _MARK.size

    def read(self, start: int = 0) -> list[tuple[float, int]]:
        """When and where, from this mark on, in the order of their ends."""
        with self.file.open("rb") as marks:
            marks.seek(start * _MARK.size)
            found = marks.read()
        return list(_MARK.iter_unpack(found[: len(found) // _MARK.size * _MARK.size]))

    def slots(self) -> int:
        """How many worker processes have made marks; reads what is new since the last time."""
        new = self.read(self._seen)
        self._seen += len(new)
        self._slots.update(slot for _, slot in new)
        return len(self._slots)
