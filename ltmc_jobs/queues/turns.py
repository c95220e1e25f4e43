"""TurnTaking: a Redis client for an event loop that opens few connections; commands beyond them take turns."""

from __future__ import annotations

import asyncio
from typing import Any

from redis.asyncio import Redis as AsyncRedis

TURNS = 32  # a pool never shrinks: without a bound, one burst of callers would keep a socket each, for good


class TurnTaking(AsyncRedis):
    """As its parent; what waits is a task, not a connection. Pipelines and subscriptions stand outside of the turns."""

    _loop: asyncio.AbstractEventLoop | None = None
    _turns: asyncio.Semaphore

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop, self._turns = loop, asyncio.Semaphore(TURNS)
        async with self._turns:
            return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
