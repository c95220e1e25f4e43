"""One process under the supervisor: started, started again when it dies, asked to stop."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from ltmc_jobs.private_files import open_log
from workers.backoff import Backoff

LOG_BYTES = 10_000_000
Start = Callable[[], "subprocess.Popen[bytes]"]


class Child:
    """A process that should run."""

    def __init__(self, name: str, start: Start, log: Path) -> None:
        self.name = name
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None
        self._start = start
        self._backoff = Backoff()
        self._due = 0.0
        self._from = _size(log)

    def start(self) -> None:
        """Start it now."""
        rotate(self.log)
        self._from = _size(self.log)
        self.watch(self._start())

    def watch(self, process: subprocess.Popen[bytes]) -> None:
        """Take over a process that was started for us."""
        self.process = process
        self._backoff.started()

    def ended(self) -> int | None:
        """The exit code when it has ended since this was last asked; it becomes due again."""
        if self.process is None:
            return None
        code = self.process.poll()
        if code is not None:
            self.process = None
            self._due = time.monotonic() + self._backoff.died()
        return code

    @property
    def seconds_until_due(self) -> float | None:
        """None while it runs."""
        return None if self.process else max(0.0, self._due - time.monotonic())

    def terminate(self) -> None:
        """Ask it to finish."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()

    def running(self) -> bool:
        """Whether there is something to wait for."""
        return self.process is not None and self.process.poll() is None

    def kill(self) -> None:
        """End it now."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def last_words(self, lines: int = 8) -> str:
        """The end of what it has logged since it was started."""
        try:
            with self.log.open("rb") as log:
                log.seek(self._from if self._from <= _size(self.log) else 0)
                return "\n".join(log.read().decode(errors="replace").splitlines()[-lines:])
        except OSError:
            return ""


def launch(command: list[str], log: Path, group: int) -> subprocess.Popen[bytes]:
    """Start a command in a group, with its output at the end of its log."""
    with open_log(log) as output:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, process_group=group, umask=0o077
        )


def rotate(log: Path, limit: int = LOG_BYTES) -> None:
    """Put a log that has grown too long aside, in the place of the one before, and empty it.

    Its writers keep it open and add to its end, so it is copied: what they write in that moment may be lost.
    """
    if _size(log) <= limit:
        return
    aside = log.with_name(f"{log.name}.1")
    aside.unlink(missing_ok=True)
    with log.open("rb") as old, open_log(aside) as kept:
        shutil.copyfileobj(old, kept)
    os.truncate(log, 0)


def _size(log: Path) -> int:
    return log.stat().st_size if log.exists() else 0
