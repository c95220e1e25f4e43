"""LocalChild: the isolated process of a front end; serves calls without Redis, and then what follows from them.

What follows is run here only where the queue is off for good, and only while nobody else is the index's one writer.
With Redis gone for a while it is left to the sweep, which finds every version that stopped on its way.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import redis
import structlog
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from ltmc_jobs.errors import LtmcError, Unavailable
from ltmc_jobs.memory.ingestion import following
from ltmc_jobs.queues.contract import JobSpec, Principal
from ltmc_jobs.queues.envelope import Call, seal
from ltmc_jobs.queues.isolation.frames import Frames
from ltmc_jobs.queues.local.kept import KeptQueue
from ltmc_jobs.queues.queue import JobQueue
from ltmc_jobs.registry import Queue
from ltmc_jobs.services import Services
from ltmc_jobs.settings import Settings
from ltmc_jobs.shared import Shared, checked_address
from workers import writer
from workers.isolated_child import IsolatedChild, Running

UNFINISHED_SECONDS = 120.0
ENQUEUE_SECONDS = 1.0  # the caller waits for it

log = structlog.get_logger("ltmc.local")


class LocalChild(IsolatedChild):
    """A child whose answers carry the result, and the sealed jobs that its starter should have it run next."""

    def __init__(self, settings: Settings, frames: Frames) -> None:
        super().__init__(settings, frames)
        shared = Shared.open_apart(settings)
        assert isinstance(shared.queue, KeptQueue)
        self._queue = shared.queue
        self.services = Services.open(shared)
        self._is_off_for_good = not (settings.use_queue and settings.redis_enabled)
        self._has_resumed = False

    def result_of(self, call: Call, running: Running) -> dict[str, Any]:
        """`{result, following: [{envelope, job_id, name, project, depends_on}]}`."""
        self._queue.take()  # of a call that failed
        if call.kind.queue == Queue.VECTORS:
            with self._writing() as is_writer:
                if not is_writer:
                    raise Unavailable("another process writes the index; its sweep goes on with this version")
                result = self.runner.run(call, running)
        else:
            result = self.runner.run(call, running)
        if call.kind.queue == Queue.EMBEDDING:
            self._queue.keep_result(call.id, result)
        return {"result": result, "following": self._following(self._queue.take())}

    def _following(self, specs: list[JobSpec]) -> list[dict[str, Any]]:
        if not self._is_off_for_good:
            return []
        with self._writing() as is_writer:
            pass
        if not is_writer:
            self._hand_over(specs)
            return []
        if not self._has_resumed:
            self._has_resumed = True
            known = {spec.id for spec in specs}
            specs = [*specs, *(spec for spec in self._unfinished() if spec.id not in known)]
        return [self._told(spec) for spec in specs]

    def _unfinished(self) -> list[JobSpec]:
        """What remains for versions that an earlier process left on their way: here, no sweep would find them."""
        tiers = self.services.tiers
        specs: list[JobSpec] = []
        try:
            for version in tiers.records.unfinished(older_than_seconds=UNFINISHED_SECONDS):
                chunks = tiers.records.version_chunks(version.resource_id, version.version)
                who = {"principal": Principal("maintenance"), "trace_id": version.job_id}
                named = following([(version, chunks)], model=tiers.model, **who)  # type: ignore[arg-type]
                specs += [spec for group in named.values() for spec in group]
        except LtmcError as error:  # of the store: the call itself was served
            log.error("unfinished versions cannot be resumed", error=str(error))
        return specs

    def _told(self, spec: JobSpec) -> dict[str, Any]:
        return {
            "envelope": json.loads(seal(spec, self.keys)),
            "job_id": spec.id,
            "name": spec.kind.name,
            "project": spec.project,
            "depends_on": list(spec.depends_on),
        }

    def _hand_over(self, specs: Sequence[JobSpec]) -> None:
        """Workers run, so the index has its writer: they have it sooner by their queue than by the sweep."""
        if not specs or not self.settings.redis_enabled:
            return
        connection = Redis.from_url(
            checked_address(self.settings),
            socket_timeout=ENQUEUE_SECONDS,
            socket_connect_timeout=ENQUEUE_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        try:
            JobQueue(connection, self.keys).ensure(specs)
        except (LtmcError, redis.RedisError) as error:
            log.warning("what follows is left to the sweep", error=str(error))
        finally:
            connection.close()

    @contextmanager
    def _writing(self) -> Iterator[bool]:
        """Within, whether this process is the index's one writer."""
        lock = writer.become(self.settings, wait=False)
        try:
            yield lock is not None
        finally:
            if lock is not None:
                os.close(lock)
