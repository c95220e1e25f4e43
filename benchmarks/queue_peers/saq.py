"""saq: asyncio; many are enqueued at once (its queue bounds how many commands are on their way).

Results are waited for by its subscription: its `apply` polls, every half second unless it is told otherwise.
"""

from __future__ import annotations

import asyncio
import os
import uuid
from typing import Any

from saq import Queue, Status

from benchmarks.queue_peers.conversation import BATCH
from benchmarks.queue_peers.marks import mark

OPTIONS = {"timeout": 60, "ttl": 3600}
queue = Queue.from_url(os.environ["BENCH_REDIS"])


async def noop(_context: Any, *, number: int) -> int:
    mark()
    return number


async def wait(_context: Any, *, seconds: float) -> float:
    await asyncio.sleep(seconds)
    mark()
    return seconds


settings = {"queue": queue, "functions": [noop, wait], "concurrency": int(os.environ.get("BENCH_AT_ONCE", "10"))}


def _ended(_key: str, status: Status) -> bool:
    return status is Status.COMPLETE


class Producer:
    def __init__(self) -> None:
        self._listening: asyncio.Task[None] | None = None

    async def prepare(self) -> None:
        """Nothing."""

    async def enqueue(self, kind: str, count: int, seconds: float) -> None:
        given = {"seconds": seconds} if kind == "wait" else {"number": 1}
        for _ in range(count):
            await queue.enqueue(kind, **OPTIONS, **given)

    async def enqueue_bulk(self, kind: str, count: int, seconds: float) -> None:
        given = {"seconds": seconds} if kind == "wait" else {"number": 1}
        for start in range(0, count, BATCH):
            size = min(BATCH, count - start)
            await asyncio.gather(*(queue.enqueue(kind, **OPTIONS, **given) for _ in range(size)))

    async def left(self) -> int:
        return await queue.count("incomplete")

    async def call(self) -> None:
        if self._listening is None:  # keeps the subscription open, so that a call's own begins at once
            self._listening = asyncio.create_task(queue.listen(["nothing"], _ended, timeout=None))
            await asyncio.sleep(0.1)
        key = str(uuid.uuid4())
        ended = asyncio.create_task(queue.listen([key], _ended, timeout=30))
        await asyncio.sleep(0)
        await queue.enqueue("noop", key=key, **OPTIONS, number=1)
        await ended
        job = await queue.job(key)
        assert job
        assert job.result == 1
