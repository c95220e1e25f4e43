"""Heartbeats: which worker processes live, by queue. A process that has not been heard of for 12 seconds is gone."""

from __future__ import annotations

from collections.abc import Iterable

from redis import Redis

from ltmc_jobs import keys

BEAT_SECONDS = 4.0
GONE_SECONDS = 12.0


class Heartbeats:
    """One sorted set a queue: process names by when they last beat, by the server's clock."""

    def __init__(self, connection: Redis) -> None:
        self._connection = connection

    def beat(self, process: str, queues: Iterable[str]) -> None:
        """Say that a process lives and works on these queues."""
        now = self._now()
        pipeline = self._connection.pipeline(transaction=False)
        for queue in queues:
            name = keys.key(keys.INSTALLATION, "heartbeat", queue)
            pipeline.zadd(name, {process: now})
            pipeline.zremrangebyscore(name, "-inf", now - GONE_SECONDS)
            pipeline.expire(name, int(GONE_SECONDS))
        pipeline.execute()

    def leave(self, process: str, queues: Iterable[str]) -> None:
        """Say that a process ends."""
        pipeline = self._connection.pipeline(transaction=False)
        for queue in queues:
            pipeline.zrem(keys.key(keys.INSTALLATION, "heartbeat", queue), process)
        pipeline.execute()

    def live(self, queues: Iterable[str]) -> dict[str, int]:
        """Living processes for each of these queues."""
        wanted = list(queues)
        since = self._now() - GONE_SECONDS
        pipeline = self._connection.pipeline(transaction=False)
        for queue in wanted:
            pipeline.zcount(keys.key(keys.INSTALLATION, "heartbeat", queue), since, "+inf")
        return dict(zip(wanted, pipeline.execute(), strict=True))

    def names(self, queues: Iterable[str]) -> set[str]:
        """The names of the processes that live and work on any of these queues."""
        since = self._now() - GONE_SECONDS
        pipeline = self._connection.pipeline(transaction=False)
        for queue in queues:
            pipeline.zrangebyscore(keys.key(keys.INSTALLATION, "heartbeat", queue), since, "+inf")
        return {name.decode() for names in pipeline.execute() for name in names}

    def _now(self) -> float:
        seconds, microseconds = self._connection.time()
        return float(seconds) + float(microseconds) / 1e6
