"""Heartbeats: which worker processes live, by queue. A lease that was not renewed for ten seconds has ended."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from redis import Redis

from ltmc_jobs import keys

LEASES = keys.key(keys.INSTALLATION, "lease")


class Heartbeats:
    """Read from the workers' own leases, by the server's clock."""

    def __init__(self, connection: Redis) -> None:
        self._connection = connection

    def live(self, queues: Iterable[str]) -> dict[str, int]:
        """Living processes for each of these queues."""
        counted = dict.fromkeys(queues, 0)
        for served in self.serving().values():
            for queue in served:
                if queue in counted:
                    counted[queue] += 1
        return counted

    def serving(self) -> dict[str, list[str]]:
        """The queues of each living process, by its name."""
        seconds, microseconds = self._connection.time()
        names: Any = self._connection.zrangebyscore(LEASES, seconds + microseconds / 1e6, "+inf")
        pipeline = self._connection.pipeline(transaction=False)
        for name in names:
            pipeline.hget(b"rq:worker:" + name, "queues")
        served = pipeline.execute() if names else []
        return {name.decode(): (queues or b"").decode().split(",") for name, queues in zip(names, served, strict=True)}
