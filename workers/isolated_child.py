"""IsolatedChild: reads a job, runs it, answers, and waits for the next; Running: what its job may tell meanwhile.

It trusts nobody: every envelope is verified here again.
"""

from __future__ import annotations

import threading
import time
import traceback
from functools import cached_property
from importlib import import_module
from typing import Any

import psutil
import structlog

from ltmc_jobs.errors import JobFailed, LtmcError
from ltmc_jobs.inquiry import InputRequired
from ltmc_jobs.queues.claims import Ending, Run, as_result
from ltmc_jobs.queues.envelope import Call, Keyring, unseal
from ltmc_jobs.queues.isolation.frames import Frames, encode
from ltmc_jobs.services import Services
from ltmc_jobs.settings import Settings
from ltmc_jobs.shared import Shared
from workers.execution import TRANSIENT
from workers.journal import tell_end
from workers.runner import Runner

log = structlog.get_logger("ltmc.isolated")


class Running:
    """The JobContext of the job that runs; what it says goes to the starter at once."""

    def __init__(self, frames: Frames, request: dict[str, Any]) -> None:
        self._frames = frames
        self._sending = threading.Lock()  # the job may have threads of its own
        self.job_id = str(request["job_id"])
        self.attempt = int(request["attempt"])
        self.starter = int(request["starter"])  # the process that waits for it; not always the one that forked us
        self.deadline = time.monotonic() + float(request["timeout_seconds"])

    def progress(self, done: float, total: float | None = None, message: str = "") -> None:
        self._tell({"progress": {"done": done, "total": total, "message": message}})

    def log(self, line: str) -> None:
        self._tell({"log": line})

    def cancelled(self) -> bool:
        """Never seen true: a cancelled job's process is killed."""
        return False

    def close(self) -> None:
        """The job has ended: a thread that it left behind is not heard any more."""
        with self._sending:
            self._frames = None  # type: ignore[assignment]

    def _tell(self, message: dict[str, Any]) -> None:
        frame = encode(message)
        with self._sending:
            if self._frames is not None:
                self._frames.send_encoded(frame)


class IsolatedChild:
    """Runs the jobs that come in over a socket, one after the other."""

    def __init__(self, settings: Settings, frames: Frames) -> None:
        self.settings = settings
        self.keys = Keyring.load(settings)
        self._frames = frames

    @cached_property
    def services(self) -> Services:
        """Opened with the first job."""
        return Services.open(Shared.open(self.settings))

    @cached_property
    def runner(self) -> Runner:
        """Over the services."""
        return Runner(self.services)

    def serve(self) -> None:
        """Until the starter closes its end."""
        self._frames.send({"ready": True, "rss": resident_bytes()})
        while (request := self._frames.receive()) is not None:
            self._frames.send({"begun": True})
            running = Running(self._frames, request)
            answer = self._answer(request, running)
            running.close()
            self._frames.send_encoded(answer)

    def close(self) -> None:
        if "services" in self.__dict__:
            self.services.close()

    def result_of(self, call: Call, running: Running) -> Any:
        """What goes back as the answer; raises the function's own error."""
        return self.runner.run(call, running)

    def _answer(self, request: dict[str, Any], running: Running) -> bytes:
        call: Call | None = None
        try:
            if request.get("module"):
                import_module(request["module"])
            call = unseal(request["envelope"], running.job_id, self.keys)
            started = time.monotonic()
            result = self.result_of(call, running)
            answer = encode({"ok": result, "rss": resident_bytes()})
            if "journal" in request:
                _tell_done(request, result, started)
            return answer
        except InputRequired as asked:
            return encode({"asks": asked.questions, "first": asked.first, "rss": resident_bytes()})
        except LtmcError as error:
            return self._failure(call, error, error)
        except BaseException as error:  # SystemExit too: a job that calls it has failed, and this process goes on
            log.error("job failed", job_id=running.job_id, exc_info=error)
            told = JobFailed("the job failed; its id leads to the cause in the workers' log", id=running.job_id)
            return self._failure(call, error, told)

    def _failure(self, call: Call | None, error: BaseException, told: LtmcError) -> bytes:
        passes = call is not None and isinstance(error, (*TRANSIENT, *call.kind.retry_on))
        trace = "".join(traceback.format_exception(error))
        return encode({"error": told.as_dict(), "trace": trace, "passes": passes, "rss": resident_bytes()})


def _tell_done(request: dict[str, Any], result: Any, started: float) -> None:
    """The job's effects are there: should its worker die now, it is not to run again. Times are the server's."""
    offset = float(request["server_offset"])
    ends = Run(
        request["job_id"],
        request["execution"],
        Ending.DONE,
        as_result(result),
        started_at=started + offset,
        ended_at=time.monotonic() + offset,
    )
    tell_end(request["journal"], ends)


def resident_bytes() -> int:
    """How much memory this process holds."""
    return int(psutil.Process().memory_info().rss)
