"""Jobs on the process's main thread, one after the other; those of one kind together, where it takes batches."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from types import FrameType

from ltmc_jobs.queues.claims import Run
from workers.execution import Execution, Interruption
from workers.executors.contract import Executor
from workers.journal import Journal
from workers.runner import Runner

INTERRUPT = signal.SIGUSR1


class InlineExecutor(Executor):
    """`run()` is the main thread's whole life; the rest is called from the courier's."""

    def __init__(self, runner: Runner, journal: Journal, ended: Callable[[Execution, Run], None]) -> None:
        super().__init__(1, journal, ended)
        self._runner = runner
        self._ready: SimpleQueue[bool] = SimpleQueue()
        self._batch: list[Execution] = []
        self._inside = False  # the function runs: only then may an interruption be raised

    def start(self) -> None:
        signal.signal(INTERRUPT, self._interrupted)

    def submit(self, executions: Sequence[Execution]) -> None:
        self.backlog.extend(executions)
        self._ready.put(True)

    def interrupt(self, execution: Execution, reason: type[Interruption]) -> None:
        execution.reason = reason
        ident = threading.main_thread().ident
        assert ident is not None
        signal.pthread_kill(ident, INTERRUPT)

    def close(self) -> None:
        self._ready.put(False)

    def run(self) -> None:
        """Run what comes, until closed."""
        while True:
            try:
                execution = self.backlog.popleft()
            except IndexError:
                if not self._ready.get():
                    return
                continue
            if execution.call.kind.batch > 1:
                self._run_batch(execution)
            else:
                self._run_one(execution)

    def _run_one(self, execution: Execution) -> None:
        self.begin(execution)
        self._batch = [execution]
        try:
            self._inside = True
            result = self._runner.run(execution.call, execution)
            self._inside = False
            run = execution.done(result)
        except BaseException as error:  # whatever it is, it is the job's: the process goes on
            self._inside = False
            run = execution.failed(error)
        self.end(execution, run)

    def _run_batch(self, first: Execution) -> None:
        kind = first.call.kind
        batch = [first]
        while len(batch) < kind.batch and self.backlog and self.backlog[0].call.kind is kind:
            batch.append(self.backlog.popleft())
        for execution in batch:
            self.begin(execution)
        self._batch = batch
        try:
            self._inside = True
            ends = self._runner.run_batch([execution.call for execution in batch], batch)
            self._inside = False
        except BaseException as error:
            self._inside = False
            ends = [error] * len(batch)
        for execution, end in zip(batch, ends, strict=True):
            if isinstance(end, Interruption) and execution.interrupted_at is None:
                self.end(execution, execution.again())  # a neighbour was meant
            elif isinstance(end, BaseException):
                self.end(execution, execution.failed(end))
            else:
                self.end(execution, execution.done(end))

    def _interrupted(self, _number: int, _frame: FrameType | None) -> None:
        told = [execution for execution in self._batch if execution.interrupted_at is not None]
        if self._inside and told:
            raise told[0].reason
