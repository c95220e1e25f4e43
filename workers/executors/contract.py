"""What an executor is: it runs the executions that it is handed, and tells the courier how each ended."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ltmc_jobs.queues.claims import Run
from workers.execution import Execution, Interruption, TimeUp
from workers.journal import Journal

PREFETCHED_SECONDS = 0.02  # of work that is held ready
LONG_SECONDS = 0.1  # nothing is held ready behind a job that runs so long
MOST_PREFETCHED = 64
SMOOTHING = 0.2


class Room(NamedTuple):
    """What an executor can take: so many at once, and so many more that would soon follow."""

    free: int
    prefetch: int

    def capped(self, most: int) -> Room:
        """Not more than so many at once."""
        return Room(min(self.free, most), min(self.prefetch, most))


NO_ROOM = Room(0, 0)


class Executor(ABC):
    """Slots, and a backlog of executions that have not begun. Subclasses run them."""

    def __init__(self, slots: int, journal: Journal, ended: Callable[[Execution, Run], None]) -> None:
        self.slots = slots
        self.running: dict[str, Execution] = {}  # by job:execution
        self.backlog: deque[Execution] = deque()
        self.lost: int = 0  # slots whose job could not be stopped
        self._journal = journal
        self._ended = ended
        self._mean_seconds = 0.01
        self._lock = threading.Lock()

    @abstractmethod
    def start(self) -> None:
        """Make ready; once, before the first `submit`."""

    @abstractmethod
    def submit(self, executions: Sequence[Execution]) -> None:
        """Take executions, from the courier's thread."""

    @abstractmethod
    def interrupt(self, execution: Execution, reason: type[Interruption]) -> None:
        """Make its function stop, from the courier's thread; it may refuse."""

    @abstractmethod
    def close(self) -> None:
        """Stop what is idle; nothing runs any more, or nobody waits for it."""

    def room(self) -> Room:
        """What it can take now."""
        waiting, running = len(self.backlog), len(self.running)
        free = max(0, self.slots - running - waiting)
        # Among many slots one soon becomes free, however long each job takes.
        if self._mean_seconds / self.slots >= LONG_SECONDS or self.holds_up():
            return Room(free, 0)
        ready = min(MOST_PREFETCHED, int(self.slots * PREFETCHED_SECONDS / self._mean_seconds))
        return Room(free, max(0, ready - waiting))

    def holds_up(self) -> bool:
        """Whether what waits here waits behind something long."""
        if len(self.running) < self.slots:
            return False
        since = time.monotonic() - max(LONG_SECONDS, 2 * self._mean_seconds if self.slots > 1 else 0.0)
        return all(execution.begun is not None and execution.begun < since for execution in list(self.running.values()))

    def give_back(self) -> list[Execution]:
        """Those that have not begun, the last one first; they are no longer ours."""
        taken = []
        while True:
            try:
                taken.append(self.backlog.pop())
            except IndexError:
                return taken

    def begin(self, execution: Execution) -> None:
        """Its function is about to run."""
        # One that was given away meanwhile runs in vain: its end is refused.
        self.running[execution.claim.member] = execution
        self._journal.begin(execution.claim.member)
        execution.begin()

    def end(self, execution: Execution, run: Run) -> None:
        """It has ended; unless it was given up before, this is told."""
        with self._lock:
            if execution.ended:
                return
            execution.ended = True
        self._journal.end(run)
        if execution.begun is not None:
            took = time.monotonic() - execution.begun
            self._mean_seconds += SMOOTHING * (took - self._mean_seconds)
        self.running.pop(execution.claim.member, None)
        self._ended(execution, run)

    def give_up(self, execution: Execution) -> None:
        """It did not stop when it was told to: it counts as ended, and its slot as lost."""
        self.lost += 1
        self.end(execution, execution.failed(execution.reason()))


def is_overdue(execution: Execution, now: float) -> bool:
    """Whether its time is over."""
    return execution.reason is TimeUp and execution.begun is not None and now > execution.deadline
