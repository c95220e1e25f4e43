"""TurnTaking: a Redis client for an event loop that opens few connections; commands beyond them take turns."""

from __future__ import annotations

import asyncio
from typing import Any

from redis.asyncio import Redis as AsyncRedis

from ltmc_jobs.queues.trunk import NoAnswer, Trunk

TURNS = 32  # a pool never shrinks: without a bound, one burst of callers would keep a socket each, for good
STRAIGHT = frozenset({"GET", "MGET", "EVALSHA"})  # whose answers are given as they came; each is safe to send twice


class TurnTaking(AsyncRedis):
    """As its parent; what waits is a task, not a connection. Pipelines and subscriptions stand outside of the turns.

    What calls need most goes over one connection, without a turn.
    """

    _loop: asyncio.AbstractEventLoop | None = None
    _turns: asyncio.Semaphore
    _trunk: Trunk | None = None

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        if args[0] in STRAIGHT:
            self._trunk = self._trunk or Trunk(self.connection_pool)
            try:
                return await self._trunk.ask(*args)
            except NoAnswer:
                pass
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop, self._turns = loop, asyncio.Semaphore(TURNS)
        async with self._turns:
            return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        if self._trunk is not None:
            self._trunk.close()
        await super().aclose(close_connection_pool)
