"""Run one call: the function, the jobs that follow, the cache, the log line. Reads as the sentence it is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, is_dataclass
from functools import cache
from importlib import import_module
from typing import Any

import structlog
from pydantic import TypeAdapter

from ltmc_jobs import keys, registry
from ltmc_jobs.errors import LtmcError
from ltmc_jobs.inquiry import InputRequired
from ltmc_jobs.queues.contract import JobContext
from ltmc_jobs.queues.envelope import Call
from ltmc_jobs.registry import JobKind, Tool
from ltmc_jobs.services import Services

REFUSED_KEPT = 100
REFUSED_SECONDS = 7 * 86_400

log = structlog.get_logger("ltmc.jobs")


@dataclass
class _Run:
    services: Services
    result: Any = None


class Runner:
    """Runs verified calls in this process, each against the same opened services."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def run(self, call: Call, job: JobContext) -> Any:
        """The call's result as JSON; raises the function's own error."""
        if call.kind.batch > 1:
            (ended,) = self.run_batch([call], [job])
            if isinstance(ended, BaseException):
                raise ended
            return ended
        if call.kind.executor == "asyncio":  # outside of an event loop: a stock worker, or a process of its own
            return asyncio.run(self.run_async(call, job))
        with self._during(call, job) as run:
            run.result = _as_json(_invoke(call, run.services), call.kind)
        return run.result

    async def run_async(self, call: Call, job: JobContext) -> Any:
        """The same for a coroutine function."""
        with self._during(call, job) as run:
            run.result = _as_json(await _invoke(call, run.services), call.kind)
        return run.result

    def run_batch(self, calls: Sequence[Call], jobs: Sequence[JobContext]) -> list[Any]:
        """Calls of one kind, handed to its function together: per call its result, or the error that it failed with."""
        services = [self._services.during(call, job) for call, job in zip(calls, jobs, strict=True)]
        try:
            ended = _function(calls[0].kind.path)(services, [call.args for call in calls])
            if len(ended) != len(calls):
                raise RuntimeError(f"{calls[0].kind.path} gave {len(ended)} results for {len(calls)} calls")
        except Exception as error:
            ended = [error] * len(calls)
        return [self._end_of(call, job, one) for call, job, one in zip(calls, jobs, ended, strict=True)]

    def _end_of(self, call: Call, job: JobContext, ended: Any) -> Any:
        try:
            with self._during(call, job) as run:
                if isinstance(ended, BaseException):
                    raise ended
                run.result = _as_json(ended, call.kind)
            return run.result
        except Exception as error:
            return error

    @contextmanager
    def _during(self, call: Call, job: JobContext) -> Iterator[_Run]:
        """What surrounds every run: the jobs that follow, the cache, the log line."""
        started = time.monotonic()
        run = _Run(self._services.during(call, job))
        try:
            try:
                yield run
                run.result = self._enqueue_following(run.services, run.result)
            finally:  # a job may also fail after it changed something
                self._forget_cached(call)
            self._keep_cached(call, run.result)
            self._record(call, started)
        except InputRequired:
            raise  # a leg has ended, not the job
        except BaseException as error:
            self._record(call, started, error)
            raise

    def refuse(self, job_id: str, error: LtmcError) -> None:
        """Set a forged or foreign job aside where an admin sees it."""
        name = keys.key(keys.INSTALLATION, "refused")
        pipeline = self._services.shared.redis.pipeline()
        pipeline.lpush(name, f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {job_id} {error}")
        pipeline.ltrim(name, 0, REFUSED_KEPT - 1)
        pipeline.expire(name, REFUSED_SECONDS)
        pipeline.execute()
        log.warning("job refused", job_id=job_id, reason=str(error))

    def _enqueue_following(self, services: Services, result: Any) -> Any:
        if not services.following:
            return result
        services.shared.queue.ensure([spec for specs in services.following.values() for spec in specs])
        return result | {"jobs": {name: specs[-1].id for name, specs in services.following.items()}}

    def _forget_cached(self, call: Call) -> None:
        if call.kind.changes:
            self._services.shared.cache.bump(call.project, call.kind.changes)

    def _keep_cached(self, call: Call, result: Any) -> None:
        found = registry.find(call.kind.name) if call.cache_key else None
        if isinstance(found, Tool) and call.cache_key:
            self._services.shared.cache.fill(found, call.cache_key, call.id, result)

    def _record(self, call: Call, started: float, error: BaseException | None = None) -> None:
        seconds = time.monotonic() - started
        if call.principal.agent_id:
            self._services.shared.agents.heard(call.project, call.principal.agent_id)
        told = {"error": f"{type(error).__name__}: {error}"} if error else {}
        (log.error if error else log.info)(
            "job ended",
            tool_name=call.kind.name,
            execution_time_ms=round(seconds * 1000, 2),
            agent_id=call.principal.agent_id,
            session_id=call.principal.session_id,
            success=error is None,
            job_id=call.id,
            request_id=call.trace_id,
            project=call.project,
            **told,
        )


@cache
def _function(path: str) -> Callable[..., Any]:
    module, _, name = path.rpartition(".")
    function = getattr(import_module(module), name)
    assert callable(function)
    return function  # type: ignore[no-any-return]


def _invoke(call: Call, services: Services) -> Any:
    """Call the function with what it takes: services first where it wants them, and the types that it names."""
    function, tool = _function(call.kind.path), registry.tool_of(call.kind)
    if tool is None:
        return function(services, **call.args)
    given = tool.form.read(call.args)
    return function(services, **given) if tool.takes_services else function(**given)


def _as_json(result: Any, kind: JobKind) -> Any:
    tool = registry.tool_of(kind)
    if tool is not None:
        return tool.form.show(result)
    its_type: Any = type(result)
    adapter = _adapter(its_type)
    return adapter.dump_python(result, mode="json") if adapter else result


@cache
def _adapter(kind: type) -> TypeAdapter[Any] | None:
    """What makes JSON of a result of this type; None for one that is JSON already."""
    return TypeAdapter(kind) if is_dataclass(kind) else None
