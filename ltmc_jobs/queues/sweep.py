"""Clean up: delete jobs that ended long ago, by their age and a page at a time, and what is left of expired ones."""

from __future__ import annotations

from typing import Any

from redis import Redis

from ltmc_jobs.queues.claims import iso
from ltmc_jobs.queues.inspect import queue_names
from ltmc_jobs.queues.scripts import script

SWEEP = script("sweep")
PAGE = 500  # jobs a command: Redis serves nobody else while it runs one
ENDED = ("finished", "failed", "canceled")


def sweep(connection: Redis, days: float) -> int:
    """Delete the jobs of all queues that ended more than so many days ago; how many entries are gone.

    A job that is younger, or has not ended, is never touched: each is looked at in the step that deletes it.
    """
    seconds, microseconds = connection.time()
    before = iso(seconds + microseconds / 1e6 - days * 86_400)
    gone = 0
    for queue in queue_names(connection):
        for registry in (*ENDED, "deferred"):
            gone += _sweep(connection, f"rq:{registry}:{queue}", before)
    return gone


def _sweep(connection: Redis, registry: str, before: str) -> int:
    gone = start = 0
    while True:
        ids: Any = connection.zrange(registry, start, start + PAGE - 1)
        if not ids:
            return gone
        swept = int(SWEEP.run(connection, [before, registry, *ids]))
        gone += swept
        start += max(0, len(ids) - swept)
