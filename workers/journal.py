"""What a worker process has begun and ended, in a file that outlives it: a kill -9 loses neither results nor culprits.

A line each: `S <job>:<execution>` before a run, `D <run as JSON>` after it. The page cache keeps what a dead process
wrote; only the death of the host loses it, and then the leases in Redis bring the jobs back.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import structlog

from ltmc_jobs.private_files import make_private
from ltmc_jobs.queues.claims import Ending, Run

log = structlog.get_logger("ltmc.worker")

SUFFIX = ".journal"
COMPACTED_BYTES = 256 * 1024


class Entries(NamedTuple):
    """What a journal tells of a dead process."""

    worker: str
    ended: list[Run]  # in Redis or not: who no longer holds a job changes nothing
    begun: set[str]  # job:execution of those that were running


class Journal:
    """One per worker process."""

    def __init__(self, directory: Path, worker: str) -> None:
        make_private(directory)
        self.file = directory / f"{worker}{SUFFIX}"
        self._descriptor = _opened(self.file)
        self._lock = threading.Lock()
        self._size = 0
        self._is_ill = False

    def begin(self, member: str) -> None:
        """A run begins."""
        self._write(f"S {member}\n".encode())

    def end(self, run: Run) -> None:
        """A run has ended."""
        self._write(f"D {json.dumps(run)}\n".encode())

    def settle(self, running: Callable[[], Iterable[str]], unsent: Callable[[], Iterable[Run]]) -> None:
        """Forget what Redis knows, now and then; `running` and `unsent` give what it does not."""
        if self._size < COMPACTED_BYTES:
            return
        with self._lock:  # nobody begins or ends meanwhile
            lines = [f"S {member}\n" for member in running()] + [f"D {json.dumps(run)}\n" for run in unsent()]
            aside = self.file.with_suffix(".new")
            descriptor = _opened(aside)
            self._size = os.write(descriptor, "".join(lines).encode())
            aside.replace(self.file)
            self._descriptor, old = descriptor, self._descriptor
            os.close(old)

    def close(self) -> None:
        """Everything is in Redis."""
        with self._lock:
            descriptor, self._descriptor = self._descriptor, -1
        os.close(descriptor)
        self.file.unlink(missing_ok=True)

    def _write(self, line: bytes) -> None:
        with self._lock:
            if self._descriptor < 0:
                return  # a job that nobody waits for any more
            try:
                self._size += os.write(self._descriptor, line)
                self._is_ill = False
            except OSError as error:  # without a journal, the lease brings a dead process's jobs back
                if not self._is_ill:
                    log.error("the journal cannot be written; a crash may now run a job twice", error=str(error))
                self._is_ill = True


def read(file: Path) -> Entries:
    """What the journal of a dead process tells; a line that it did not finish is left out."""
    ended: dict[str, Run] = {}  # one each: a job's own process may have told before its worker did
    begun: set[str] = set()
    for line in file.read_bytes().splitlines(keepends=True):
        if not line.endswith(b"\n"):
            break
        try:
            if line.startswith(b"S "):
                begun.add(line[2:-1].decode())
            elif line.startswith(b"D "):
                fields = json.loads(line[2:])
                run = Run(*fields)._replace(ending=Ending(fields[2]))
                ended[f"{run.job_id}:{run.execution}"] = run
                begun.discard(f"{run.job_id}:{run.execution}")
        except (ValueError, TypeError, IndexError):
            continue  # damaged: the lease brings the job back
    return Entries(file.name.removesuffix(SUFFIX), list(ended.values()), begun)


def tell_end(file: str, run: Run) -> None:
    """Note in a worker's journal that a run has ended, from the process that ran it: its worker may die unheard.

    What is lost to a journal that is being compacted, or is gone, the worker tells itself.
    """
    with suppress(OSError):
        descriptor = os.open(file, os.O_WRONLY | os.O_APPEND)
        try:
            os.write(descriptor, f"D {json.dumps(run)}\n".encode())
        finally:
            os.close(descriptor)


def _opened(file: Path) -> int:
    return os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_TRUNC, 0o600)
