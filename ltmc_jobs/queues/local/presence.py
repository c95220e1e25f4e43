"""Presence: whether Redis is there, known without asking it at every call, and noticed while an answer is late."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

import redis
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from ltmc_jobs.errors import QueueUnavailable

T = TypeVar("T")

PROBE_SECONDS = 0.5
AGAIN_SECONDS = 1.0  # while it is away, it is asked at most so often
LATE_SECONDS = 0.8  # with the probe after it, a caller hears of a silent server within two seconds
AWAY = "the job queue (Redis) cannot be reached; it is tried again on the next call"


class Presence:
    """What one event loop knows of one server. Trusted to be there until something fails or is late."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._is_away = False
        self._probed_at = -AGAIN_SECONDS
        self._probing: asyncio.Task[bool] | None = None

    async def is_away(self, *, suspected: bool = False) -> bool:
        """Whether it cannot be reached; asked when it was away, or is `suspected` to be, and at most each second."""
        if self._is_away or suspected:
            if self._probing is None and time.monotonic() - self._probed_at >= AGAIN_SECONDS:
                self._probing = asyncio.create_task(self._probe())
            if self._probing is not None:
                await asyncio.shield(self._probing)
        return self._is_away

    async def within(self, work: Coroutine[Any, Any, T]) -> T:
        """What this gives; QueueUnavailable, soon, when the server is known to be away or falls silent meanwhile."""
        if await self.is_away():
            work.close()
            raise QueueUnavailable(AWAY)
        task = asyncio.create_task(work)
        try:
            while not (await asyncio.wait({task}, timeout=LATE_SECONDS))[0]:
                if await self.is_away(suspected=True):
                    raise QueueUnavailable(AWAY)
        finally:
            if not task.done():
                task.cancel()
                task.add_done_callback(_forget)
        return task.result()

    async def _probe(self) -> bool:
        connection = AsyncRedis.from_url(
            self._address,
            socket_timeout=PROBE_SECONDS,
            socket_connect_timeout=PROBE_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        try:
            await asyncio.wait_for(connection.ping(), 2 * PROBE_SECONDS)  # names are looked up in it, too
            self._is_away = False
        except redis.ResponseError:  # it refuses, and so is there
            self._is_away = False
        except (redis.RedisError, OSError, TimeoutError):
            self._is_away = True
        finally:
            self._probed_at = time.monotonic()
            self._probing = None
            with suppress(redis.RedisError, OSError):
                await connection.aclose()
        return self._is_away


def _forget(task: asyncio.Task[Any]) -> None:
    """Nobody waits for it any more: its error is nobody's."""
    if not task.cancelled():
        task.exception()
