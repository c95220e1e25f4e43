"""Signals as something that a loop waits for: asked to stop, or a child ended."""

from __future__ import annotations

import os
import select
import signal
from contextlib import suppress
from types import FrameType
from typing import Protocol

STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class HasFileno(Protocol):
    """What `select` takes."""

    def fileno(self) -> int: ...


class Signals:
    """Counts requests to stop, and wakes `wait` at once for them and for every child that ended."""

    def __init__(self) -> None:
        self.stops = 0
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, self._woken)
        for number in STOPPING:
            signal.signal(number, self._stop)

    def wait(self, seconds: float | None, *others: HasFileno) -> None:
        """Return when a signal came, one of the others can be read, or the time is over."""
        sources: list[int | HasFileno] = [self._reader, *others]
        select.select(sources, [], [], seconds)
        with suppress(BlockingIOError):
            while os.read(self._reader, 512):
                pass

    def close(self) -> None:
        """Back to the defaults, as a forked child needs them."""
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, *STOPPING):
            signal.signal(number, signal.SIG_DFL)
        os.close(self._reader)
        os.close(self._writer)

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self.stops += 1

    def _woken(self, _number: int, _frame: FrameType | None) -> None:
        """The wake-up pipe has it already; a handler must exist for Python to write there."""
