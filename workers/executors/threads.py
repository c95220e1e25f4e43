"""Jobs on a few threads: for functions that mostly wait, and are no coroutines."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue

from ltmc_jobs.queues.claims import Run
from workers.execution import Execution, Interruption
from workers.executors.contract import Executor
from workers.journal import Journal
from workers.runner import Runner


class ThreadExecutor(Executor):
    """So many threads, started on first use. A thread that will not stop is written off."""

    def __init__(self, slots: int, runner: Runner, journal: Journal, ended: Callable[[Execution, Run], None]) -> None:
        super().__init__(slots, journal, ended)
        self._runner = runner
        self._ready: SimpleQueue[bool] = SimpleQueue()
        self._threads: dict[str, int] = {}  # by job:execution
        self._started = 0

    def start(self) -> None:
        """Nothing: threads begin with the first jobs."""

    def submit(self, executions: Sequence[Execution]) -> None:
        self.backlog.extend(executions)
        while self._started < min(self.slots, len(self.running) + len(self.backlog)):
            self._started += 1
            threading.Thread(target=self._work, daemon=True, name=f"job-{self._started}").start()
        for _ in executions:
            self._ready.put(True)

    def interrupt(self, execution: Execution, reason: type[Interruption]) -> None:
        execution.reason = reason
        with self._lock:
            ident = self._threads.get(execution.claim.member)
            if ident is not None:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), ctypes.py_object(reason))

    def close(self) -> None:
        for _ in range(self._started):
            self._ready.put(False)

    def _work(self) -> None:
        ident = threading.get_ident()
        while self._ready.get():
            try:
                execution = self.backlog.popleft()
            except IndexError:
                continue  # given back
            self._run(execution, ident)

    def _run(self, execution: Execution, ident: int) -> None:
        self.begin(execution)
        run: Run | None = None
        while True:
            try:
                run = run or self._ended_run(execution, ident)
                self._let_be(execution, ident)
                break
            except Interruption as error:  # it came as the function ended
                run = run or execution.failed(error)
        self.end(execution, run)

    def _ended_run(self, execution: Execution, ident: int) -> Run:
        try:
            with self._lock:
                self._threads[execution.claim.member] = ident
            if execution.interrupted_at is not None:  # told before anybody knew where it runs
                raise execution.reason
            return execution.done(self._runner.run(execution.call, execution))
        except BaseException as error:  # whatever it is, it is the job's
            return execution.failed(error)

    def _let_be(self, execution: Execution, ident: int) -> None:
        """From here on nothing is raised in this thread for that job, not even what is on its way."""
        with self._lock:
            self._threads.pop(execution.claim.member, None)
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), None)
