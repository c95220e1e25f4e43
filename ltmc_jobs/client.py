"""A call to its answer: validate, ask the cache, enqueue, wait. What every protocol's adapter talks to."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from ltmc_jobs import registry, tools
from ltmc_jobs.errors import Disabled, InvalidArguments, LtmcError, NotFound, QueueUnavailable
from ltmc_jobs.queues.contract import ANYONE, JobInfo, JobSpec, JobStatus, Outcome, Principal, new_job_id
from ltmc_jobs.queues.queue import reached
from ltmc_jobs.queues.reach import reaching
from ltmc_jobs.registry import Question, Tool
from ltmc_jobs.settings import PROJECT_PATTERN
from ltmc_jobs.shared import Shared

LIVE_SECONDS = 1.0  # how long the knowledge of living workers is used
NEXT = "Call job_result with this job_id (it waits up to 45 s); job_cancel stops a job that has not started."

__all__ = ["Answer", "Client", "Session", "tools"]  # importing tools declares them


@dataclass(frozen=True, slots=True)
class Session:
    """On whose behalf a call is made: project, principal, and the trace that its jobs carry."""

    project: str
    principal: Principal = ANYONE
    trace_id: str = ""

    def __post_init__(self) -> None:
        if not PROJECT_PATTERN.match(self.project):
            raise InvalidArguments("a project is 1 to 64 letters, digits, dots, dashes or underscores", field="project")


@dataclass(frozen=True, slots=True)
class Answer:
    """A call's answer: its result, or the handle of a job that goes on, with the reason."""

    tool: str
    job_id: str | None
    status: str
    result: dict[str, Any] | None = None
    reason: str | None = None
    cached: bool = False

    @property
    def is_handle(self) -> bool:
        return self.result is None

    def as_dict(self) -> dict[str, Any]:
        """What goes out, in every protocol alike."""
        if self.result is not None:
            job = {"job_id": self.job_id} if self.job_id else {}
            return {"success": True, **job, **({"cached": True} if self.cached else {}), **self.result}
        handle = {"job_id": self.job_id, "status": self.status, "tool": self.tool, "next": NEXT}
        return {
            "success": True,
            "job_id": self.job_id,
            "job": handle | ({"reason": self.reason} if self.reason else {}),
        }


class Client:
    """Calls tools through the queue. One per process; its methods are for one event loop."""

    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        self._live: dict[str, int] = {}
        self._live_until = 0.0

    async def call(
        self,
        name: str,
        arguments: Any,
        session: Session,
        *,
        wait_seconds: float | None = None,
        job_id: str | None = None,
    ) -> Answer:
        """Call a tool or a question by name. `job_id` makes a repeated call the same job. Raises LtmcError."""
        found = registry.find(name)
        accepted = found.form.accept({} if arguments is None else arguments)
        if isinstance(found, Question):
            return Answer(name, None, "finished", await found.function(self, session, **accepted))
        wait_for = arguments.get("wait_for", "recorded") if found.follows else "recorded"
        wait = self.shared.settings.wait_seconds if wait_seconds is None else max(0.0, min(wait_seconds, 45.0))
        return await self._run(found, accepted, session, wait, wait_for, job_id)

    async def _run(
        self, tool: Tool, arguments: dict[str, Any], session: Session, wait: float, wait_for: str, job_id: str | None
    ) -> Answer:
        if not self.shared.settings.use_queue:
            raise Disabled("the job queue is switched off (LTMC_USE_QUEUE=false)")
        until = time.monotonic() + wait
        cache_key, kept = await self._cached(tool, arguments, session)
        if kept is not None:
            return Answer(tool.form.name, kept["job_id"], "finished", kept["result"], cached=True)
        spec = JobSpec(
            kind=tool.kind,
            args=arguments,
            project=session.project,
            id=job_id or new_job_id(),
            principal=session.principal,
            trace_id=session.trace_id,
            cache_key=cache_key,
        )
        await self.shared.async_queue.enqueue(spec)
        try:
            reason = await self.no_worker_reason(tool.kind.queue)
            if wait <= 0 or reason:
                return Answer(tool.form.name, spec.id, JobStatus.QUEUED, reason=reason)
            outcome = await self.shared.async_queue.outcome(spec.id, until - time.monotonic())
        except QueueUnavailable as error:  # the job is there: told of a failure, the caller would send it again
            return Answer(tool.form.name, spec.id, JobStatus.QUEUED, reason=f"enqueued, but not waited for: {error}")
        if outcome.is_final and outcome.error is None and wait_for != "recorded":
            return await self._followed(tool, outcome, wait_for, until)
        return _answer(tool.form.name, outcome)

    async def _cached(
        self, tool: Tool, arguments: dict[str, Any], session: Session
    ) -> tuple[str | None, dict[str, Any] | None]:
        if tool.cache is None:
            return None, None
        with reaching():
            cache_key, kept = await self.shared.cache.look(tool, session.project, arguments)
        self.shared.metrics.count("ltmc_cache_lookups_total", tool.form.name, "hit" if kept else "miss")
        return cache_key, kept

    async def _followed(self, tool: Tool, outcome: Outcome, wait_for: str, until: float) -> Answer:
        """Wait for a job that follows; what is done stays done, so its failure is told beside the result."""
        following = outcome.result.get("jobs", {}).get(wait_for)
        if following is None:  # nothing was left to do
            return _answer(tool.form.name, outcome)
        try:
            followed = await self.shared.async_queue.outcome(following, max(0.0, until - time.monotonic()))
            reached_state = {"state": wait_for} if followed.unwrap() is not None else {}
            return Answer(tool.form.name, outcome.job_id, outcome.status, outcome.result | reached_state)
        except LtmcError as error:
            told = {"warning": f"recorded, but not yet {wait_for}: {error}"}
            return Answer(tool.form.name, outcome.job_id, outcome.status, outcome.result | told)

    async def job(self, session: Session, job_id: str) -> JobInfo:
        """A job of the session's project; foreign, unknown and expired look the same."""
        info = await self.shared.async_queue.status(job_id)
        if info.project != session.project:
            raise NotFound(f"there is no job {job_id}, or it has expired", job_id=job_id)
        return info

    async def result(self, session: Session, job_id: str, wait_seconds: float) -> Answer:
        """The answer of the call behind a job; raises the job's own error."""
        info = await self.job(session, job_id)
        outcome = await self.shared.async_queue.outcome(job_id, min(wait_seconds, 45.0))
        return _answer(info.name, outcome)

    async def cancel(self, session: Session, job_id: str) -> dict[str, Any]:
        """Cancel a job that has not started."""
        await self.job(session, job_id)
        cancelled = await self.shared.async_queue.cancel(job_id)
        status = (await self.shared.async_queue.status(job_id)).status
        return {"job_id": job_id, "cancelled": cancelled, "status": status.value}

    async def jobs(
        self, session: Session, *, status: str | None = None, queue: str | None = None, limit: int = 50
    ) -> dict[str, Any]:
        """The project's jobs, newest first."""
        found = await self.shared.async_queue.list(
            project=session.project, status=JobStatus(status) if status else None, queue=queue, limit=limit
        )
        return {"jobs": [info.as_dict() for info in found], "count": len(found)}

    async def queues(self) -> dict[str, Any]:
        """Per queue: jobs by state, the age of the oldest that waits, living workers; of all projects together."""
        counted = await self.shared.async_queue.counts()
        live = await asyncio.to_thread(reached, self.shared.heartbeats.live, list(counted))
        return {"queues": {name: states | {"workers": live[name]} for name, states in counted.items()}}

    async def no_worker_reason(self, queue: str) -> str | None:
        """Why a job in this queue will not start by itself; None while a worker lives."""
        if time.monotonic() > self._live_until:
            queues = [name.value for name in registry.Queue]
            self._live = await asyncio.to_thread(reached, self.shared.heartbeats.live, queues)
            self._live_until = time.monotonic() + LIVE_SECONDS
        if self._live.get(queue):
            return None
        return f"no worker is running for the {queue} queue; the job waits for one (./start_workers.sh status)"


def _answer(tool: str, outcome: Outcome) -> Answer:
    if not outcome.is_final:
        return Answer(tool, outcome.job_id, outcome.status.value, reason="it still runs; the wait is over")
    result = outcome.unwrap()
    # A job kind may give any JSON; the answer to a call is an object.
    shown = result if isinstance(result, dict) else {"result": result}
    return Answer(tool, outcome.job_id, outcome.status.value, shown)
