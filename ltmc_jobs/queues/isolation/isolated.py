"""An isolated process: one warm child that runs one job at a time, and may crash, hang or be killed alone.

The child is never a fork of the process that starts it, which has threads: it is a command (`python -m
workers.isolated`), or `birth` has somebody fork it who has none.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from ltmc_jobs.errors import JobCancelled, JobTimeout, LtmcError, Unavailable, from_dict
from ltmc_jobs.inquiry import InputRequired
from ltmc_jobs.queues.isolation.birth import Birth, Command
from ltmc_jobs.queues.isolation.child_process import ChildProcess
from ltmc_jobs.queues.isolation.frames import encode

START_SECONDS = 60.0
JOBS_PER_CHILD = 200
TRIES = 2
GROWTH_BYTES = 1 << 30
ENDS = {"ok", "error", "asks"}  # how a child's last word on a job begins


class Passing(Exception):
    """The cause of an error of a child's job that is worth a retry, whatever the error itself says."""


class IsolatedProcess:
    """One child, started when first needed, used again for the next job, replaced when it died, grew or got old."""

    def __init__(
        self,
        options: Sequence[str] = (),
        *,
        modules: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        birth: Birth | None = None,
        jobs_per_child: int = JOBS_PER_CHILD,
        growth_bytes: int = GROWTH_BYTES,
    ) -> None:
        """`modules` declare further job kinds; `environment` is the child's, else this process's own; where
        `birth` can make no child, a command is started."""
        self._options = [*options, *(part for module in modules for part in ("--module", module))]
        self._command = partial(Command, environment=environment)
        self._birth = birth or self._command
        self._jobs_per_child = jobs_per_child
        self._growth_bytes = growth_bytes
        self._child: ChildProcess | None = None
        self._using = threading.Lock()  # one job at a time
        self._changing = threading.Lock()  # of the fields below, and of who is killed
        self._is_running = False
        self._is_cancelled = False

    @property
    def pid(self) -> int | None:
        """The child's, where there is one."""
        child = self._child
        return child.pid if child else None

    def start(self) -> None:
        """Start the child, without waiting until it is ready."""
        if self._child is None:
            try:
                self._child = ChildProcess(self._options, self._birth)
            except OSError:
                if self._birth is self._command:
                    raise
                self._child = ChildProcess(self._options, self._command)

    def run(
        self,
        envelope: dict[str, Any],
        job_id: str,
        attempt: int,
        timeout_seconds: float,
        tell: Callable[[dict[str, Any]], None] = lambda _told: None,
        begin: Callable[[], None] = lambda: None,
        more: Mapping[str, Any] | None = None,
    ) -> Any:
        """The result of the call in a signed envelope; raises the function's own error, its trace as a note.

        `begin` is called when the child has begun, which counts from then on; `tell` is given `{"progress": {...}}` and
        `{"log": line}` while it runs; `more` is what else the child is told of the job. JobTimeout when time was over,
        JobCancelled after `cancel`, ChildDied when the child died by itself; after these three it is replaced.
        """
        job = {"envelope": envelope, "job_id": job_id, "attempt": attempt, "timeout_seconds": timeout_seconds}
        request = encode(job | {"starter": os.getpid()} | dict(more or {}))
        with self._using:
            with self._changing:
                self._is_running, self._is_cancelled = True, False
            try:
                return self._answer(request, timeout_seconds, tell, begin)
            finally:
                with self._changing:
                    self._is_running = False

    def cancel(self) -> bool:
        """Kill the child if it runs a job, from any thread; whether it did."""
        with self._changing:
            if self._is_running:
                self._is_cancelled = True
                if self._child is not None:
                    self._child.kill()
            return self._is_running

    def close(self) -> None:
        """End the child; a running job ends as cancelled."""
        self.cancel()
        with self._using:
            if self._child is not None:
                self._child.close()
                self._child = None

    def _answer(
        self,
        request: bytes,
        timeout_seconds: float,
        tell: Callable[[dict[str, Any]], None],
        begin: Callable[[], None],
    ) -> Any:
        child, until = self._begun(request, timeout_seconds)
        try:
            begin()
            while not ENDS & (message := child.receive(until)).keys():
                tell(message)
        except TimeoutError:
            self._replace(child)
            if self._is_cancelled:
                raise JobCancelled from None
            raise JobTimeout(f"stopped after {timeout_seconds:g} seconds") from None
        except ConnectionError:
            self._replace(child)
            if self._is_cancelled:
                raise JobCancelled from None
            raise child.death() from None
        except BaseException:  # of `tell`: nobody waits for the answer any more
            self._replace(child)
            raise
        if child.is_spent(message, self._jobs_per_child, self._growth_bytes):
            self._replace(child, gently=True)
        if "asks" in message:
            raise InputRequired(message["asks"], first=message["first"])
        if "error" in message:
            raise _error_of(message) from (Passing() if message.get("passes") else None)
        return message["ok"]

    def _begun(self, request: bytes, timeout_seconds: float) -> tuple[ChildProcess, float]:
        """A child that has begun with a job, and the monotonic time at which it must be done.

        One that dies before it begins died of something else: the job is given to another.
        """
        for _ in range(TRIES):
            child = self._ready_child()
            until = time.monotonic() + timeout_seconds
            with suppress(ConnectionError):
                try:
                    child.send(request, until)
                    child.receive(until)  # "begun"
                    return child, until
                except TimeoutError:
                    self._replace(child)
                    if self._is_cancelled:
                        raise JobCancelled from None
                    raise JobTimeout(f"stopped after {timeout_seconds:g} seconds") from None
            self._drop(child)
        if self._is_cancelled:
            raise JobCancelled
        raise child.death()

    def _ready_child(self) -> ChildProcess:
        """A child that lives and waits for a job; Unavailable, or the child's own error, when none can be had."""
        for _ in range(TRIES):
            with self._changing:
                if self._is_cancelled:
                    raise JobCancelled
                if self._child is not None and self._child.is_gone():  # it died with nothing to do
                    self._child.close()
                    self._child = None
                self.start()
                child = self._child
            assert child is not None
            try:
                child.wait_ready(time.monotonic() + START_SECONDS)
                return child
            except TimeoutError:
                told: LtmcError = Unavailable(f"an isolated process was not ready after {START_SECONDS:g} seconds")
            except ConnectionError:
                told = child.death()
            except LtmcError:
                self._drop(child)
                raise
            self._drop(child)
            if self._is_cancelled:
                raise JobCancelled
        raise Unavailable(f"no isolated process could be started: {told}") from told

    def _drop(self, child: ChildProcess) -> None:
        with self._changing:
            self._child = None
        child.kill()
        child.close()

    def _replace(self, child: ChildProcess, *, gently: bool = False) -> None:
        """End this child, and have the next one get ready while nobody waits for it."""
        if gently:
            with self._changing:
                self._child = None
            child.close()
        else:
            self._drop(child)
        with self._changing, suppress(OSError):
            self.start()


def _error_of(message: dict[str, Any]) -> LtmcError:
    error = from_dict(message["error"])
    if message.get("trace"):
        error.add_note(message["trace"])
    return error
