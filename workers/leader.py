"""What one process does for all: move what is due, bury workers whose lease has ended, trim registries, fire schedules.

Any worker process may lead; Redis says which one does, and takes nothing from one that no longer does.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import structlog
from redis import Redis

from ltmc_jobs.queues.claims import MOVED_AT_ONCE, RENEW_SECONDS, Ending, bury, housekeep
from ltmc_jobs.queues.inspect import queue_names
from workers.recovery import take_back

# After a pause of Redis, or of this process, every living worker has renewed its lease within this time.
SETTLED_SECONDS = RENEW_SECONDS + 1.0
TAKE_BACK_SECONDS = 10.0
TRIM_SECONDS = 60.0
MOST_ROUNDS = 100  # then the lease has its turn
WHOLE_SECONDS = 5.0

log = structlog.get_logger("ltmc.leader")


class Leader:
    """An errand of the courier's: called once a second with whether this process leads."""

    def __init__(self, connection: Redis, worker: str, journals: Path) -> None:
        self._connection = connection
        self._worker = worker
        self._journals = journals
        self._settled_from: float | None = None  # monotonic; None: not leading
        self._clocks = (0.0, 0.0)  # the server's and ours, at the last round
        self._looked = self._taken_back = self._trimmed = 0.0

    def __call__(self, leads: bool) -> None:
        """A round, if it leads; raises redis.RedisError."""
        if not leads:
            self._settled_from = None
            return
        whole = time.monotonic() - self._looked >= WHOLE_SECONDS
        round_ = housekeep(self._connection, self._worker, whole=whole)
        for _ in range(MOST_ROUNDS):
            if round_ is None or round_[0] < MOVED_AT_ONCE:
                break
            round_ = housekeep(self._connection, self._worker, whole=False)  # more is due
        self._looked = time.monotonic() if whole else self._looked
        if round_ is None:
            self._settled_from = None
            return
        _, ended, server_time = round_
        self._settle(server_time)
        now = time.monotonic()
        if self._settled_from is not None and now >= self._settled_from:
            for name in ended:
                self._bury(name)
        if now - self._taken_back > TAKE_BACK_SECONDS:
            self._taken_back = now
            take_back(self._connection, self._journals)
        if now - self._trimmed > TRIM_SECONDS:
            self._trimmed = now
            self._trim()

    def _settle(self, server: float) -> None:
        """Wait until leases can be believed: after a gap, or a jump of the server's clock, nobody has renewed yet."""
        own = time.monotonic()
        passed_there, passed_here = server - self._clocks[0], own - self._clocks[1]
        self._clocks = (server, own)
        if self._settled_from is None or passed_here > SETTLED_SECONDS or abs(passed_there - passed_here) > 1.0:
            self._settled_from = own + SETTLED_SECONDS

    def _bury(self, name: str) -> None:
        buried = bury(self._connection, name, Ending.AGAIN, lease_ended_seconds=0.0)
        if buried is not None:
            log.warning("nothing is heard of a worker; its jobs go to others", worker=name, jobs=buried[0])

    def _trim(self) -> None:
        """Drop from the registries what has expired, as RQ's maintenance does."""
        now, _ = self._connection.time()
        pipeline: Any = self._connection.pipeline(transaction=False)
        for queue in queue_names(self._connection):
            for registry in ("finished", "failed"):
                pipeline.zremrangebyscore(f"rq:{registry}:{queue}", 0, now)
        pipeline.execute()
