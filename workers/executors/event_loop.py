"""Jobs on an event loop of their own: coroutine functions, many at once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence

from ltmc_jobs.queues.claims import Run
from workers.execution import Execution, Interruption
from workers.executors.contract import Executor
from workers.journal import Journal
from workers.runner import Runner


class EventLoopExecutor(Executor):
    """One loop on one thread, started on first use; each job is a task."""

    def __init__(self, slots: int, runner: Runner, journal: Journal, ended: Callable[[Execution, Run], None]) -> None:
        super().__init__(slots, journal, ended)
        self._runner = runner
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def start(self) -> None:
        """Nothing: the loop begins with the first job."""

    def submit(self, executions: Sequence[Execution]) -> None:
        self.backlog.extend(executions)
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            threading.Thread(target=self._loop.run_forever, daemon=True, name="event-loop").start()
        self._loop.call_soon_threadsafe(self._fill)

    def interrupt(self, execution: Execution, reason: type[Interruption]) -> None:
        execution.reason = reason
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._cancel, execution.claim.member)

    def close(self) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)

    def _fill(self) -> None:
        assert self._loop is not None
        while len(self.running) < self.slots:
            try:
                execution = self.backlog.popleft()
            except IndexError:
                return
            self.begin(execution)
            self._tasks[execution.claim.member] = self._loop.create_task(self._run(execution))

    async def _run(self, execution: Execution) -> None:
        try:
            run = execution.done(await self._runner.run_async(execution.call, execution))
        except asyncio.CancelledError:
            run = execution.failed(execution.reason())
        except BaseException as error:  # whatever it is, it is the job's
            run = execution.failed(error)
        self._tasks.pop(execution.claim.member, None)
        self.end(execution, run)
        self._fill()

    def _cancel(self, member: str) -> None:
        task = self._tasks.get(member)
        if task is not None:
            task.cancel()
