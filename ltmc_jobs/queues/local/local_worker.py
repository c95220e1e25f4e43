"""LocalWorker: serves calls on this machine, without the queue, in one isolated process; each with its real end.

Calls wait for their turn, with a bound and a limit; what follows from them is run when no call waits.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import queue
import sqlite3
import threading
import time
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import structlog

from ltmc_jobs import jobs, registry
from ltmc_jobs.errors import Conflict, JobCancelled, JobFailed, JobLost, LtmcError, Misconfigured, QueueUnavailable
from ltmc_jobs.queues.contract import JobSpec, JobStatus, Outcome
from ltmc_jobs.queues.envelope import Keyring, seal
from ltmc_jobs.queues.isolation.isolated import IsolatedProcess
from ltmc_jobs.queues.local.ledger import Ledger
from ltmc_jobs.registry import Tier, Tool
from ltmc_jobs.settings import Settings

WAITING_CALLS = 64
QUEUED_SECONDS = 60.0
CALL_SECONDS = 60.0  # there is one process for all: a call that hangs holds up the others no longer
CANCEL_SECONDS = 2.0
IDLE_SECONDS = 300.0  # then the process goes, and with it the model that it may have loaded
JOBS_PER_CHILD = 10_000  # results that a following job needs live in the process

assert jobs  # declares what may follow

log = structlog.get_logger("ltmc.local")


def may_serve(tool: Tool) -> bool:
    """Whether a tool's declaration says that it can do without Redis."""
    return Tier.REDIS not in tool.tiers


def switched_off(settings: Settings) -> str | None:
    """Why nothing can go through the queue for as long as a process lives; None where it can."""
    if not settings.redis_enabled:
        return "Redis is switched off (REDIS_ENABLED=false), and this needs it"
    return None if settings.use_queue else "the job queue is switched off (LTMC_USE_QUEUE=false)"


async def awaited(future: Future[Outcome], until: float) -> Outcome | None:
    """An outcome, waited for until this monotonic time; None when it is over."""
    waited = asyncio.shield(asyncio.wrap_future(future))
    done, _ = await asyncio.wait({waited}, timeout=max(0.0, until - time.monotonic()))
    return waited.result() if done else None


@dataclass(order=True)
class _Task:
    is_following: bool  # calls go first
    number: int
    spec: JobSpec = field(compare=False)
    envelope: dict[str, Any] = field(compare=False)
    timeout_seconds: float = field(compare=False)
    submitted: float = field(compare=False, default_factory=time.monotonic)
    ended: Future[Outcome] = field(compare=False, default_factory=Future)


class LocalWorker:
    """One per process that serves callers; its thread and its child start with the first call."""

    def __init__(self, settings: Settings, keys: Keyring) -> None:
        self.ledger = Ledger(settings)
        self._keys = keys
        self._process = IsolatedProcess(["--local"], jobs_per_child=JOBS_PER_CHILD)
        self._waiting: queue.PriorityQueue[_Task] = queue.PriorityQueue()
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._live: dict[str, _Task] = {}
        self._running: str | None = None
        self._cancelled: set[str] = set()
        self._thread: threading.Thread | None = None

    def submit(self, spec: JobSpec, reason: str) -> Future[Outcome]:
        """Have a call served; its outcome when it has ended. The same id again is the same call while it lives.

        QueueUnavailable when too many wait already.
        """
        envelope = json.loads(seal(spec, self._keys))
        seconds = min(spec.kind.timeout_seconds, CALL_SECONDS)
        with self._lock:
            if spec.id in self._live and self._live[spec.id].spec.digest == spec.digest:
                return self._live[spec.id].ended
            if spec.id in self._live:
                raise Conflict(f"{spec.id} is being served with other arguments: use another key", job_id=spec.id)
            if sum(not task.is_following for task in self._live.values()) >= WAITING_CALLS:
                raise QueueUnavailable(f"{WAITING_CALLS} calls wait already to be served on this machine; try again")
            task = self._add(_Task(False, next(self._numbers), spec, envelope, seconds), reason)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, daemon=True, name="local")
                self._thread.start()
        return task.ended

    def live(self, job_id: str) -> Future[Outcome] | None:
        """The outcome to come of a job that waits or runs here."""
        with self._lock:
            task = self._live.get(job_id)
        return task.ended if task else None

    def cancel(self, job_id: str) -> bool | None:
        """Whether it will not run to its end; None for one that does not wait or run here."""
        with self._lock:
            task = self._live.get(job_id)
            if task is None:
                return None
            self._cancelled.add(job_id)
        until = time.monotonic() + CANCEL_SECONDS
        while self._running == job_id and not task.ended.done() and time.monotonic() < until:
            self._process.cancel()  # again, where it has not quite begun
            with suppress(TimeoutError):
                task.ended.result(0.05)
        return not task.ended.done() or task.ended.result().status == JobStatus.CANCELED

    def close(self) -> None:
        """End the child; what waits is not run any more."""
        self._process.close()

    def _add(self, task: _Task, reason: str) -> _Task:
        """With the lock held."""
        self._live[task.spec.id] = task
        self._note(self.ledger.add, task.spec, reason)
        self._waiting.put(task)
        return task

    def _work(self) -> None:
        while True:
            try:
                task = self._waiting.get(timeout=IDLE_SECONDS)
            except queue.Empty:
                self._process.close()
                continue
            outcome = self._run(task)
            self._note(self.ledger.ended, outcome.job_id, outcome.status, outcome.result, outcome.error)
            with self._lock:
                self._live.pop(outcome.job_id)
                self._cancelled.discard(outcome.job_id)
            task.ended.set_result(outcome)

    def _run(self, task: _Task) -> Outcome:
        spec = task.spec
        with self._lock:
            if spec.id not in self._cancelled:
                self._running = spec.id
        try:
            if self._running is None:
                raise JobCancelled
            if not task.is_following and time.monotonic() - task.submitted > QUEUED_SECONDS:
                raise QueueUnavailable(f"it waited {QUEUED_SECONDS:g} seconds for its turn on this machine; try again")
            self._require_dependencies(spec)
            self._note(self.ledger.started, spec.id)
            answer = self._process.run(task.envelope, spec.id, 1, task.timeout_seconds)
            self._add_following(answer["following"])
            return Outcome(spec.id, JobStatus.FINISHED, answer["result"])
        except JobCancelled as error:
            return Outcome(spec.id, JobStatus.CANCELED, error=error)
        except Misconfigured as error:
            log.error("call failed", job_id=spec.id, error=str(error))
            told = Misconfigured("this installation is misconfigured; the API's log and `ltmc doctor` say how")
            return Outcome(spec.id, JobStatus.FAILED, error=told)
        except LtmcError as error:
            return Outcome(spec.id, JobStatus.FAILED, error=error)
        except Exception as error:  # whatever it is, the next call must be served
            log.error("call failed", job_id=spec.id, exc_info=error)
            return Outcome(spec.id, JobStatus.FAILED, error=JobFailed("the job failed; the API's log says why"))
        finally:
            with self._lock:
                self._running = None

    def _require_dependencies(self, spec: JobSpec) -> None:
        for job_id in spec.depends_on:
            info = self.ledger.find(job_id)
            if info is not None and info.status != JobStatus.FINISHED:
                raise JobLost(f"{info.name}, which it follows, did not succeed")

    def _add_following(self, following: list[dict[str, Any]]) -> None:
        with self._lock:
            for told in following:
                kind = registry.kind(told["name"])
                spec = JobSpec(kind, {}, told["project"], told["job_id"], depends_on=tuple(told["depends_on"]))
                if spec.id not in self._live:
                    task = _Task(True, next(self._numbers), spec, told["envelope"], kind.timeout_seconds)
                    self._add(task, "it follows from a call that was served locally")

    @staticmethod
    def _note(write: Any, *values: Any) -> None:
        """Write to the ledger; a full disk keeps nobody from being served."""
        try:
            write(*values)
        except (sqlite3.Error, OSError) as error:
            log.error("a call served locally could not be noted", error=str(error))
