"""CacheIndex: what a project's caches hold, by kind: bounded, counted and flushed without a look at any other key."""

from __future__ import annotations

from typing import Any, Literal, get_args

from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from ltmc_jobs import keys

Kind = Literal["embeddings", "queries", "tools", "chunks"]
KINDS: tuple[Kind, ...] = get_args(Kind)
FAMILIES = ("cache", "embedding")  # nothing else is ever flushed, whatever an index names
ENTRIES = 1000  # of a project and kind
INDEX_SECONDS = 86_400  # no entry lives longer than its index
FLUSHED_AT_ONCE = 500

# One step, by the server's clock: the index never names what is not there, but for what was deleted by hand.
KEEP = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local dies = now + ARGV[2]
redis.call('SET', KEYS[1], ARGV[1], 'PXAT', dies)
redis.call('ZADD', KEYS[2], dies, KEYS[1])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
local beyond = redis.call('ZRANGE', KEYS[2], 0, -ARGV[3] - 1)
if #beyond > 0 then
    redis.call('UNLINK', unpack(beyond))
    redis.call('ZREM', KEYS[2], unpack(beyond))
end
redis.call('EXPIRE', KEYS[2], ARGV[4])
"""


class CacheIndex:
    """One sorted set a project and kind: cache keys by when they expire, in milliseconds of the server's clock."""

    def __init__(self, connection: Redis, async_connection: AsyncRedis) -> None:
        self._connection = connection
        self._async_connection = async_connection

    def keep(self, kind: Kind, name: str, entry: str | bytes, ttl_seconds: float) -> None:
        """Set a key of ours for so long; of its project's kind, the entries nearest to their end make room."""
        index = keys.key(keys.parse(name)[0], "cached", kind)
        milliseconds = int(min(ttl_seconds, INDEX_SECONDS) * 1000)
        self._connection.eval(KEEP, 2, name, index, entry, milliseconds, ENTRIES, INDEX_SECONDS)

    async def counts(self, project: str) -> dict[Kind, int]:
        """How many entries live, by kind; the number of keys in the database does not matter to it."""
        seconds, microseconds = await self._async_connection.time()
        now = seconds * 1000 + microseconds // 1000
        pipeline = self._async_connection.pipeline(transaction=False)
        for kind in KINDS:
            pipeline.zcount(keys.key(project, "cached", kind), f"({now}", "+inf")
        return dict(zip(KINDS, await pipeline.execute(), strict=True))

    def flush(self, project: str, kind: Kind) -> int:
        """Delete what a project's kind holds now; how many entries were there."""
        index, flushed = keys.key(project, "cached", kind), 0
        while True:
            names: Any = self._connection.zrange(index, 0, FLUSHED_AT_ONCE - 1)
            if not names:
                return flushed
            pipeline = self._connection.pipeline()
            for name in names:
                if _is_entry(project, name):
                    pipeline.unlink(name)
            pipeline.zrem(index, *names)
            *unlinked, _ = pipeline.execute()
            flushed += sum(unlinked)


def _is_entry(project: str, name: bytes) -> bool:
    """Whether a name is that of a cache entry of the project."""
    try:
        owner, family, _ = keys.parse(name.decode())
    except ValueError:
        return False
    return owner == project and family in FAMILIES
