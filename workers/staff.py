"""The executors of a worker process: who runs what, how much they can take, and who stops what will not stop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence

import structlog

from ltmc_jobs.queues.claims import Run
from ltmc_jobs.queues.isolation.birth import Birth
from ltmc_jobs.settings import Settings
from workers.execution import Cancelled, Execution, TimeUp
from workers.executors.contract import Executor, Room, is_overdue
from workers.executors.event_loop import EventLoopExecutor
from workers.executors.inline import InlineExecutor
from workers.executors.process import ProcessExecutor
from workers.executors.threads import ThreadExecutor
from workers.journal import Journal
from workers.runner import Runner

GRACE_SECONDS = 1.0  # for a job that was told to stop
RECENT_SECONDS = 5.0
LOOK_SECONDS = 0.05  # how often what waits behind something, or was told to stop, is looked at
SUSPECTS = "suspects"
# Slots for what may have killed a worker, beside its own kind's. A fork costs little; a command a second and 60 MB.
FORKED_SUSPECTS, STARTED_SUSPECTS = 24, 2
SUSPECT_IDLE_SECONDS = 10.0

log = structlog.get_logger("ltmc.worker")

Ended = Callable[[Execution, Run], None]


class Staff:
    """One of each executor; all but the inline one begin with their first job."""

    def __init__(
        self, settings: Settings, runner: Runner, journal: Journal, ended: Ended, birth: Birth | None = None
    ) -> None:
        self._ended = ended
        self.inline = InlineExecutor(runner, journal, ended)
        self._by_name: dict[str, Executor] = {
            "inline": self.inline,
            "thread": ThreadExecutor(settings.thread_slots, runner, journal, ended),
            "asyncio": EventLoopExecutor(settings.async_slots, runner, journal, ended),
            "process": ProcessExecutor(settings.process_slots, journal, ended, birth),
            SUSPECTS: ProcessExecutor(
                FORKED_SUSPECTS if birth else STARTED_SUSPECTS, journal, ended, birth, SUSPECT_IDLE_SECONDS
            ),
        }
        self._used: dict[str, float] = {}
        for executor in self._by_name.values():
            executor.start()

    def submit(self, executions: Iterable[Execution]) -> None:
        """Hand each to the executor that its kind asks for."""
        sorted_out: dict[str, list[Execution]] = {}
        for execution in executions:
            sorted_out.setdefault(_place(execution), []).append(execution)
        for name, those in sorted_out.items():
            if name != SUSPECTS:
                self._used[name] = time.monotonic()
            self._by_name[name].submit(those)

    def room(self) -> Room:
        """What can be taken now, whatever comes: the least that any lately used executor can take.

        Suspects have room of their own.
        """
        since = time.monotonic() - RECENT_SECONDS
        busy = [name for name, used in self._used.items() if used > since or self._by_name[name].running]
        rooms = [self._by_name[name].room() for name in busy or ["inline"]]
        return Room(min(room.free for room in rooms), min(room.prefetch for room in rooms))

    def suspects(self) -> int:
        """How many suspects can be taken now."""
        return self._by_name[SUSPECTS].room().free

    @property
    def has_backlog(self) -> bool:
        return any(executor.backlog for executor in self._by_name.values())

    @property
    def is_spent(self) -> bool:
        """Whether a job could not be stopped: its process is of no more use, and ends when the others have."""
        return any(executor.lost for executor in self._by_name.values())

    @property
    def is_quiet(self) -> bool:
        """Whether nothing runs, not even what was given up."""
        return not self.is_spent and not any(executor.running for executor in self._by_name.values())

    def running(self) -> Iterator[Execution]:
        """What has begun, and not ended."""
        for executor in self._by_name.values():
            yield from list(executor.running.values())

    def look_after(self, now: float, *, stopping: bool) -> float:
        """Interrupt what is out of time, give up what will not stop, give back what would wait for long.

        How many seconds later to look again, if nothing is taken meanwhile.
        """
        for executor in self._by_name.values():
            if executor.backlog and (stopping or executor.holds_up()):
                for execution in executor.give_back():
                    execution.ended = True
                    self._ended(execution, execution.back())
            for execution in list(executor.running.values()):
                if execution.interrupted_at is None and is_overdue(execution, now):
                    execution.interrupted_at = now
                    executor.interrupt(execution, TimeUp)
                elif execution.interrupted_at is not None and now - execution.interrupted_at > GRACE_SECONDS:
                    log.error("a job does not stop; its worker is replaced", job_id=execution.job_id)
                    executor.give_up(execution)
        running = list(self.running())
        if stopping or self.has_backlog or any(one.interrupted_at is not None for one in running):
            return LOOK_SECONDS
        return max(LOOK_SECONDS, min([1.0, *(one.deadline - now for one in running)]))

    def cancel(self, executions: Sequence[Execution]) -> None:
        """Stop these: at once if they have not begun."""
        for execution in executions:
            if execution.interrupted_at is not None or execution.ended:
                continue
            executor = self._by_name[_place(execution)]
            try:
                executor.backlog.remove(execution)
            except ValueError:
                execution.interrupted_at = time.monotonic()
                executor.interrupt(execution, Cancelled)
            else:
                execution.ended = True
                self._ended(execution, execution.failed(Cancelled()))

    def close(self) -> None:
        """Stop what is idle."""
        for executor in self._by_name.values():
            executor.close()


def _place(execution: Execution) -> str:
    """What may have killed a worker runs in a process of its own."""
    return SUSPECTS if execution.claim.alone else execution.call.kind.executor
