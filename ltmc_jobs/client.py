"""A call to its answer: validate, ask the cache, enqueue, wait. What every protocol's adapter talks to."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from typing import Any, TypeVar

from ltmc_jobs import registry, tools
from ltmc_jobs.answer import LOCALLY, Answer, Goal, answer_of
from ltmc_jobs.errors import Disabled, Forbidden, LtmcError, NotFound, QueueUnavailable
from ltmc_jobs.form import RECORDED
from ltmc_jobs.handling import NONE_SAID, Handling, check_same, digest_of, likeness
from ltmc_jobs.orchestration.ownership import Ownership
from ltmc_jobs.queues.contract import ANONYMOUS, JobInfo, JobRef, JobSpec, JobStatus, Outcome, new_job_id
from ltmc_jobs.queues.local.local_worker import LocalWorker, awaited, may_serve, switched_off
from ltmc_jobs.queues.local.presence import AWAY, Presence
from ltmc_jobs.queues.queue import reached
from ltmc_jobs.queues.reach import reaching
from ltmc_jobs.queues.wanted import Wanted, cursor_of, newest
from ltmc_jobs.registry import Question, Tool
from ltmc_jobs.session import Session
from ltmc_jobs.shared import Shared

T = TypeVar("T")

AWAIT_SECONDS = 2.0  # how long a call that does not say so waits for more than its own job
LIVE_SECONDS = 1.0  # how long the knowledge of living workers is used

__all__ = ["Answer", "Client", "tools"]  # importing tools declares them


class Client:
    """Calls tools through the queue. One per process; its methods are for one event loop."""

    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        self._live: dict[str, int] = {}
        self._live_until = 0.0
        self._local = LocalWorker(shared.settings, shared.keys)
        self._presence = Presence(shared.settings.redis_address())
        self._ownership = Ownership(shared.installation)
        self._off = switched_off(shared.settings)
        self.draining = asyncio.Event()

    def close(self) -> None:
        """End the process that serves calls without the queue, if there is one; it also ends with this one."""
        self._local.close()

    def drain(self) -> None:
        """This process ends: who waits for a job is answered with its handle now, and no departure cancels any."""
        self.draining.set()
        self.shared.async_queue.release()

    @property
    def is_draining(self) -> bool:
        return self.draining.is_set()

    async def call(
        self,
        name: str,
        arguments: Any,
        session: Session,
        *,
        wait_seconds: float | None = None,
        handling: Handling = NONE_SAID,
    ) -> Answer:
        """Call a tool or a question by name. Raises LtmcError."""
        found = registry.find(name)
        accepted = found.form.accept({} if arguments is None else arguments)
        if isinstance(found, Question):
            told: Any = await found.function(self, session, **accepted)
            return Answer(name, None, "finished", told if isinstance(told, dict) else asdict(told))
        wait = self.shared.settings.wait_seconds if wait_seconds is None else max(0.0, min(wait_seconds, 45.0))
        asked = arguments.get("wait_for") if found.follows else RECORDED
        patience = wait if asked else min(wait, AWAIT_SECONDS)
        goal = Goal(asked or found.awaits, time.monotonic() + patience, is_asked=asked is not None)
        return await self._run(found, accepted, session, wait, goal, handling)

    async def _run(
        self, tool: Tool, arguments: dict[str, Any], session: Session, wait: float, goal: Goal, handling: Handling
    ) -> Answer:
        until = time.monotonic() + wait
        spec = JobSpec(
            kind=tool.kind,
            args=arguments,
            project=session.project,
            id=handling.job_id or new_job_id(),
            principal=session.principal,
            trace_id=session.trace_id,
            queue=handling.queue_for(tool),
            result_ttl_seconds=handling.result_ttl_seconds,
            digest=digest_of(arguments) if handling.job_id else "",
        )
        told = handling.told or (lambda _job_id: None)
        if not spec.digest:
            told(spec.id)
        elif answered := await self._served_before(tool, spec):
            return answered
        if self._off is not None:
            told(spec.id)
            return await self._locally(tool, spec, self._off, goal, until)
        try:
            ref, kept = await self._presence.within(self._sent(tool, spec, handling))
        except QueueUnavailable:
            if not may_serve(tool) or not await self._presence.is_away(suspected=True):
                raise
            told(spec.id)
            return await self._locally(tool, spec, AWAY, goal, until)
        job_id = ref.id
        if kept is not None:
            return Answer(tool.form.name, job_id, "finished", kept, cached=True)
        try:
            await self._found(spec, ref, told)
            reason = await self.no_worker_reason(handling.queue_for(tool))
            if wait <= 0 or reason:
                return Answer(tool.form.name, job_id, JobStatus.QUEUED, reason=reason)
            outcome = await self.shared.async_queue.outcome(job_id, until - time.monotonic())
        except QueueUnavailable as error:  # the job is there: told of a failure, the caller would send it again
            return Answer(tool.form.name, job_id, JobStatus.QUEUED, reason=f"enqueued, but not waited for: {error}")
        if outcome.is_final and outcome.error is None and goal.state != RECORDED:
            return await self._followed(tool, outcome, goal)
        return answer_of(tool.form.name, outcome)

    async def _sent(self, tool: Tool, spec: JobSpec, handling: Handling) -> tuple[JobRef, dict[str, Any] | None]:
        """Enqueue, or join a job of a call like this one; or, where the cache holds it, its job and its result.

        A call under a key of its own makes a job: what its key stands for must not hang on the cache.
        """
        await self._ownership.look()
        await self._settle()
        cache_key, kept = await self._cached(tool, spec)
        if kept is not None and not handling.makes_job and not spec.digest:
            return JobRef(kept["job_id"], tool.kind.queue, created=False), kept["result"]
        like = "" if spec.digest else likeness(tool, spec, cache_key)
        return await self.shared.async_queue.enqueue(replace(spec, cache_key=cache_key, like=like)), None

    async def _found(self, spec: JobSpec, ref: JobRef, told: Callable[[str], None]) -> None:
        """Tell which job a call has, where that was not known before; Conflict if its key is another call's."""
        if spec.digest and not ref.created:
            check_same(spec, await self.shared.async_queue.status(ref.id))
        if spec.digest or ref.id != spec.id:
            told(ref.id)

    async def _cached(self, tool: Tool, spec: JobSpec) -> tuple[str | None, dict[str, Any] | None]:
        if tool.cache is None:
            return None, None
        with reaching():
            cache_key, kept = await self.shared.cache.look(tool, spec.project, spec.args)
        self.shared.metrics.count("ltmc_cache_lookups_total", tool.form.name, "hit" if kept else "miss")
        return cache_key, kept

    async def _settle(self) -> None:
        """Tell Redis, before anything is read from the cache, what changed while it could not be told."""
        if self.shared.stale_topics.pending:
            await asyncio.to_thread(reached, self.shared.stale_topics.settle, self.shared.cache)

    async def _served_before(self, tool: Tool, spec: JobSpec) -> Answer | None:
        """The answer that a repeated call got, or will get, from this machine alone."""
        info = await self._noted(spec.id)
        if info is None or info.project != spec.project:
            return None
        check_same(spec, info)
        if info.status != JobStatus.FINISHED or info.result is None:
            return None
        return answer_of(tool.form.name, Outcome(spec.id, info.status, info.result), info.meta["reason"])

    async def _noted(self, job_id: str) -> JobInfo | None:
        """What this machine knows of a call that it served by itself."""
        ledger = self._local.ledger
        return await asyncio.to_thread(ledger.find, job_id) if ledger.is_there else None

    async def _locally(self, tool: Tool, spec: JobSpec, reason: str, goal: Goal, until: float) -> Answer:
        """Serve a call on this machine; Disabled or QueueUnavailable where that cannot be."""
        if not may_serve(tool):
            raise Disabled(reason) if self._off else QueueUnavailable(reason)
        if self._off and self.shared.settings.redis_enabled:
            with suppress(QueueUnavailable):  # what was seen last counts
                await self._presence.within(self._ownership.look())
        if self.shared.settings.redis_enabled and not self._ownership.is_ours:
            raise QueueUnavailable(f"{reason}; the memory is on another machine, so this one cannot serve the call")
        outcome = await awaited(await asyncio.to_thread(self._local.submit, spec, reason), until)
        if self._off and self.shared.settings.redis_enabled:
            with suppress(QueueUnavailable):  # noted, and told later
                await self._presence.within(self._settle())
        if outcome is None:
            return Answer(tool.form.name, spec.id, JobStatus.STARTED, reason=reason, served=LOCALLY)
        answer = answer_of(tool.form.name, outcome, reason)
        if answer.result is None or goal.state == RECORDED:
            return answer
        job_id = answer.result.get("jobs", {}).get(goal.state)
        followed = self._local.live(job_id) if job_id else None
        if followed is None and job_id is not None and self._off is None:
            return replace(answer, result=answer.result | goal.missed(reason))
        if followed is not None:
            ended = await awaited(followed, goal.until)
            why = "the wait is over" if ended is None else ended.error
            told = goal.missed(why) if why else {"state": goal.state}
            return replace(answer, result=answer.result | told)
        return answer

    async def _followed(self, tool: Tool, outcome: Outcome, goal: Goal) -> Answer:
        """Wait for a job that follows; what is done stays done, so its failure is told beside the result."""
        following = outcome.result.get("jobs", {}).get(goal.state)
        if following is None:  # nothing was left to do
            return answer_of(tool.form.name, outcome)
        try:
            followed = await self.shared.async_queue.outcome(following, goal.seconds_left)
            reached_state = {"state": goal.state} if followed.unwrap() is not None else {}
            return Answer(tool.form.name, outcome.job_id, outcome.status, outcome.result | reached_state)
        except LtmcError as error:
            told = Goal(goal.state, goal.until, is_asked=True).missed(error)  # it failed, which everybody should hear
            return Answer(tool.form.name, outcome.job_id, outcome.status, outcome.result | told)

    async def job(self, session: Session, job_id: str) -> JobInfo:
        """A job of the session's project; foreign, unknown and expired look the same."""
        info = await self._noted(job_id)
        if info is None:
            info = await self._reached(self.shared.async_queue.status(job_id))
        if info.project != session.project:
            raise NotFound(f"there is no job {job_id}, or it has expired", job_id=job_id)
        return info

    async def result(self, session: Session, job_id: str, wait_seconds: float) -> Answer:
        """The answer of the call behind a job; raises the job's own error."""
        info = await self.job(session, job_id)
        wait = min(wait_seconds, 45.0)
        if info.meta.get("served") != LOCALLY:
            return answer_of(info.name, await self.shared.async_queue.outcome(job_id, wait))
        future = self._local.live(job_id)
        outcome = await awaited(future, time.monotonic() + wait) if future else None
        return answer_of(info.name, outcome or self._local.ledger.outcome(job_id), info.meta["reason"])

    async def cancel(self, session: Session, job_id: str) -> dict[str, Any]:
        """Cancel a job, or stop it while it runs."""
        info = await self.job(session, job_id)
        if info.meta.get("served") == LOCALLY:
            stopped = await asyncio.to_thread(self._local.cancel, job_id)
            now = await self.job(session, job_id)
            return {"job_id": job_id, "cancelled": bool(stopped), "status": now.status.value}
        cancelled = await self.shared.async_queue.cancel(job_id)
        status = (await self.shared.async_queue.status(job_id)).status
        return {"job_id": job_id, "cancelled": cancelled, "status": status.value}

    async def abandon(self, session: Session, job_id: str) -> None:
        """Cancel a job that nobody waits for any more, unless another call has joined it."""
        info = await self.job(session, job_id)
        if info.meta.get("served") == LOCALLY:
            await asyncio.to_thread(self._local.cancel, job_id)
        else:
            await self.shared.async_queue.cancel(job_id, unless_shared=True)

    async def answer(self, session: Session, job_id: str, answers: Mapping[str, Any]) -> list[str]:
        """Give a job answers to what it asks; the keys of the questions that are left. Others are ignored."""
        info = await self.job(session, job_id)
        if info.meta.get("served") == LOCALLY:
            return []
        return await self._reached(self.shared.async_queue.answer(job_id, answers))

    async def jobs(self, session: Session, *, limit: int = 50, **which: str | None) -> dict[str, Any]:
        """The project's jobs, newest first, `which` as Wanted; `next_cursor` where there may be more."""
        found = await self.found(session, limit=limit, **which)
        shown = {"jobs": [info.as_dict() for info in found], "count": len(found)}
        return shown | ({"next_cursor": cursor_of(found[-1])} if len(found) == limit else {})

    async def found(self, session: Session, *, limit: int = 50, **which: str | None) -> list[JobInfo]:
        """The same jobs as such."""
        if session.principal.name == ANONYMOUS and self.shared.settings.needs_token:
            raise Forbidden("to those who are nobody no job is listed: an id is all that keeps them apart")
        wanted = Wanted(session.project, limit=limit, **which)
        found = await asyncio.to_thread(self._local.ledger.list, wanted)
        if self._off is None or not found:
            found = newest([*await self._reached(self.shared.async_queue.list(wanted)), *found], limit)
        return found

    async def queues(self) -> dict[str, Any]:
        """Per queue: jobs by state, the age of the oldest that waits, living workers; of all projects together."""
        counted = await self._reached(self.shared.async_queue.counts())
        live = await asyncio.to_thread(reached, self.shared.heartbeats.live, list(counted))
        return {"queues": {name: states | {"workers": live[name]} for name, states in counted.items()}}

    async def _reached(self, work: Coroutine[Any, Any, T]) -> T:
        """What Redis says to this, or soon that it is off or away."""
        if not self.shared.settings.redis_enabled:
            work.close()
            raise Disabled(str(self._off))
        return await self._presence.within(work)

    async def no_worker_reason(self, queue: str) -> str | None:
        """Why a job in this queue will not start by itself; None while a worker lives."""
        if time.monotonic() > self._live_until:
            queues = [name.value for name in registry.Queue]
            self._live = await asyncio.to_thread(reached, self.shared.heartbeats.live, queues)
            self._live_until = time.monotonic() + LIVE_SECONDS
        if self._live.get(queue):
            return None
        return f"no worker is running for the {queue} queue; the job waits for one (./start_workers.sh status)"
