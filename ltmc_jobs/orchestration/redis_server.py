"""RedisServer: whether the server answers, how soon, and what it says of itself."""

from __future__ import annotations

import asyncio
import time
from typing import Any
from urllib.parse import urlsplit

from redis import RedisError, ResponseError
from redis.asyncio import Redis as AsyncRedis

from ltmc_jobs.errors import Disabled, QueueUnavailable
from ltmc_jobs.orchestration.cache_index import CacheIndex
from ltmc_jobs.queues.reach import reaching
from ltmc_jobs.results.cache import CacheStats, RedisCacheStats, RedisHealth, RedisHealthCheck
from ltmc_jobs.settings import Settings

PATIENCE_SECONDS = 1.5  # callers are told within two seconds
NO_REDIS = "Redis is switched off (REDIS_ENABLED=false), and this needs it"


class RedisServer:
    """Asked by the front end, so that it can be said of a server that is away; its methods are for one event loop."""

    def __init__(self, connection: AsyncRedis, index: CacheIndex, settings: Settings) -> None:
        self._connection = connection
        self._index = index
        self._settings = settings

    async def check(self) -> RedisHealthCheck:
        """Send a PING and wait for its answer; never an error, whatever becomes of it."""
        started, reason = time.monotonic(), None if self._settings.redis_enabled else NO_REDIS
        if reason is None:
            try:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await self._connection.ping()
            except TimeoutError:
                reason = f"no answer within {PATIENCE_SECONDS:g} seconds"
            except RedisError as error:
                reason = "it refuses a PING" if isinstance(error, ResponseError) else "it cannot be reached"
        taken = None if reason else round((time.monotonic() - started) * 1000, 3)
        host, port, db = _place(self._settings)
        there = reason is None
        return RedisHealthCheck(
            health=RedisHealth(
                healthy=there, connected=there, host=host, port=port, db=db, latency_ms=taken, reason=reason
            )
        )

    async def stats(self, project: str) -> RedisCacheStats:
        """Count a project's cache entries; Disabled or QueueUnavailable where there is no server to ask."""
        if not self._settings.redis_enabled:
            raise Disabled(NO_REDIS)
        try:
            with reaching():
                async with asyncio.timeout(PATIENCE_SECONDS):
                    counts = await self._index.counts(project)
                    keys_in_all = await self._connection.dbsize()
                    about = await self._about()
        except TimeoutError:
            raise QueueUnavailable(f"Redis did not answer within {PATIENCE_SECONDS:g} seconds") from None
        return RedisCacheStats(
            stats=CacheStats(
                connected=True,
                redis_version=about.get("redis_version"),
                used_memory=about.get("used_memory"),
                total_connections=about.get("total_connections_received"),
                embedding_cache_count=counts["embeddings"],
                query_cache_count=counts["queries"],
                tool_cache_count=counts["tools"],
                chunk_cache_count=counts["chunks"],
                total_cached=sum(counts.values()),
                total_keys=keys_in_all,
            )
        )

    async def _about(self) -> dict[str, Any]:
        """INFO; nothing where a managed server keeps it to itself."""
        try:
            found: dict[str, Any] = await self._connection.info()
        except ResponseError:
            return {}
        return found


def _place(settings: Settings) -> tuple[str, int, int]:
    """Host, port and database; of a socket's path, which is nobody's business, only that it is one."""
    parts = urlsplit(settings.redis_address())
    if parts.scheme == "unix":
        return "unix socket", 0, settings.redis_db
    name = parts.path.strip("/")
    return parts.hostname or "127.0.0.1", parts.port or 6379, int(name) if name.isdecimal() else 0
