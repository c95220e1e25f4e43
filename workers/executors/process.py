"""Jobs in processes of their own, one each: for native code, memory hogs, and whatever may have killed a worker."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Any

from ltmc_jobs.errors import ChildDied, JobCancelled, JobTimeout
from ltmc_jobs.queues.claims import Run
from ltmc_jobs.queues.isolation.birth import Birth
from ltmc_jobs.queues.isolation.isolated import IsolatedProcess
from workers.execution import Execution, Interruption, TimeUp, inflated
from workers.executors.contract import Executor
from workers.journal import Journal


class ProcessExecutor(Executor):
    """So many slots, each a thread that waits for its warm child; a child is killed to stop its job."""

    def __init__(
        self,
        slots: int,
        journal: Journal,
        ended: Callable[[Execution, Run], None],
        birth: Birth | None = None,
        idle_seconds: float | None = None,
    ) -> None:
        """A child that has had nothing to do for `idle_seconds` ends."""
        super().__init__(slots, journal, ended)
        self._birth = birth
        self._idle_seconds = idle_seconds
        self._ready: SimpleQueue[bool] = SimpleQueue()
        self._children: list[IsolatedProcess] = []
        self._at_work: dict[str, IsolatedProcess] = {}

    def start(self) -> None:
        """Nothing: a child is started for its first job."""

    def submit(self, executions: Sequence[Execution]) -> None:
        self.backlog.extend(executions)
        while len(self._children) < min(self.slots, len(self.running) + len(self.backlog)):
            self._children.append(IsolatedProcess(birth=self._birth))
            name = f"isolated-{len(self._children)}"
            threading.Thread(target=self._work, args=(self._children[-1],), daemon=True, name=name).start()
        for _ in executions:
            self._ready.put(True)

    def interrupt(self, execution: Execution, reason: type[Interruption]) -> None:
        execution.reason = reason
        child = self._at_work.get(execution.claim.member)
        if child is not None:
            child.cancel()

    def close(self) -> None:
        for _ in self._children:
            self._ready.put(False)
        for child in self._children:
            child.close()

    def _work(self, child: IsolatedProcess) -> None:
        while self._is_wanted(child):
            try:
                execution = self.backlog.popleft()
            except IndexError:
                continue  # given back
            self.end(execution, self._run(execution, child))

    def _is_wanted(self, child: IsolatedProcess) -> bool:
        """Wait until there may be a job; False when there will be none."""
        try:
            return self._ready.get(timeout=self._idle_seconds if child.pid else None)
        except Empty:
            child.close()
            return self._ready.get()

    def _run(self, execution: Execution, child: IsolatedProcess) -> Run:
        claim = execution.claim
        self.running[claim.member] = execution
        self._journal.begin(claim.member)
        self._at_work[claim.member] = child
        try:
            envelope = json.loads(inflated(claim.data))[2][0]
            limit = float(claim.timeout_seconds) if claim.timeout_seconds > 0 else 10.0 * 365 * 86_400
            # Its time begins when its child does, which may have to be started first.
            return execution.done(
                child.run(
                    envelope,
                    claim.job_id,
                    claim.attempt,
                    limit,
                    lambda words: _report(execution, words),
                    execution.begin,
                    {
                        "module": _module(execution),
                        "journal": str(self._journal.file),
                        "execution": claim.execution,
                        "server_offset": execution.courier.server_time() - time.monotonic(),
                    },
                )
            )
        except ChildDied as error:
            return execution.crashed(error, "\n".join([str(error), *getattr(error, "__notes__", ())]))
        except JobCancelled:
            # Asked by nobody, it was cut short by the end of this process.
            return execution.failed(execution.reason()) if execution.interrupted_at else execution.again()
        except JobTimeout:
            return execution.failed(TimeUp())
        except BaseException as error:  # whatever it is, it is the job's
            return execution.failed(error)
        finally:
            self._at_work.pop(claim.member, None)


def _report(execution: Execution, words: dict[str, Any]) -> None:
    if "progress" in words:
        execution.progress(**words["progress"])
    if "log" in words:
        execution.log(str(words["log"]))


def _module(execution: Execution) -> str:
    """Where a tool is declared, and a job kind mostly: its child reads that before it opens the envelope."""
    module = execution.call.kind.path.rpartition(".")[0]
    return module if module in sys.modules else ""
