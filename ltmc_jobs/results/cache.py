"""What the cache tools answer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CacheStats:
    """The caller's project's cache entries, by kind, and the server around them.

    `used_memory` is in bytes; `total_connections` and `total_keys` count those of everybody who uses the server.
    """

    connected: bool
    redis_version: str | None
    used_memory: int | None
    total_connections: int | None
    embedding_cache_count: int
    query_cache_count: int
    tool_cache_count: int
    chunk_cache_count: int
    total_cached: int
    total_keys: int


@dataclass(frozen=True, slots=True)
class RedisCacheStats:
    """The counts, under the name that they have always had."""

    stats: CacheStats


@dataclass(frozen=True, slots=True)
class Flushed:
    """How many entries were deleted, by kind; of resources none are cached, so there are none to flush."""

    flushed_embeddings: int
    flushed_queries: int
    flushed_tools: int
    flushed_chunks: int
    flushed_resources: int
    total_flushed: int


@dataclass(frozen=True, slots=True)
class FlushedCache:
    """What was flushed, under the name that it has always had."""

    result: Flushed


@dataclass(frozen=True, slots=True)
class RedisHealth:
    """Whether a PING was answered, after how many milliseconds, by whom; if not, why not."""

    healthy: bool
    connected: bool
    host: str
    port: int
    db: int
    latency_ms: float | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class RedisHealthCheck:
    """The finding, under the name that it has always had."""

    health: RedisHealth
