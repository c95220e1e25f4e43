"""Shared: the queues and the state that lives in Redis; what every process of the platform holds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from ltmc_jobs.errors import Disabled, Misconfigured
from ltmc_jobs.metrics import Metrics
from ltmc_jobs.orchestration.agent_registry import AgentRegistry
from ltmc_jobs.orchestration.cache_index import CacheIndex
from ltmc_jobs.orchestration.embedding_cache import EmbeddingCache
from ltmc_jobs.orchestration.heartbeats import Heartbeats
from ltmc_jobs.orchestration.installation import Installation
from ltmc_jobs.orchestration.redis_server import RedisServer
from ltmc_jobs.orchestration.stale_topics import StaleTopics, UnheardAgents, UntoldCache
from ltmc_jobs.orchestration.tool_cache import ToolCache
from ltmc_jobs.queues.envelope import Keyring
from ltmc_jobs.queues.local.kept import KeptQueue, unconnected
from ltmc_jobs.queues.queue import AsyncJobQueue, JobQueue
from ltmc_jobs.queues.turns import TurnTaking
from ltmc_jobs.settings import Settings

SOCKET_SECONDS = 8.0
# Every call that waits holds a connection; the client's own bound, 100, would refuse the next one.
CONNECTIONS = 10_000
LOOPBACK = ("localhost", "127.0.0.1", "::1", "")


@dataclass(frozen=True)
class Shared:
    """One per process, opened after any fork and closed at its end."""

    settings: Settings
    redis: Redis
    async_redis: AsyncRedis
    keys: Keyring
    queue: JobQueue
    async_queue: AsyncJobQueue
    cache: ToolCache
    cache_index: CacheIndex
    embeddings: EmbeddingCache
    server: RedisServer
    agents: AgentRegistry
    heartbeats: Heartbeats
    installation: Installation
    stale_topics: StaleTopics
    metrics: Metrics

    @classmethod
    def open(cls, settings: Settings) -> Shared:
        """Connect lazily: nothing is sent until the first use. Disabled or Misconfigured say why not."""
        address = checked_address(settings)
        # Short, so that a caller hears of a dead server within two seconds.
        backoff = ExponentialBackoff(cap=0.3, base=0.05)
        common: dict[str, Any] = {
            "retry_on_error": [RedisConnectionError, RedisTimeoutError, ConnectionResetError],
            "socket_connect_timeout": 1.0,
            "socket_timeout": SOCKET_SECONDS,
            "max_connections": CONNECTIONS,
        }
        connection = Redis.from_url(address, retry=Retry(backoff, 3), **common)
        async_connection = TurnTaking.from_url(address, retry=AsyncRetry(backoff, 3), **common)
        return cls._over(settings, connection, async_connection)

    @classmethod
    def open_apart(cls, settings: Settings) -> Shared:
        """Without Redis: what follows is kept, changes are noted for later, all else fails at once."""
        connection, async_connection = unconnected()
        shared = cls._over(settings, connection, async_connection)
        return replace(
            shared,
            queue=KeptQueue(connection, shared.keys),
            cache=UntoldCache(connection, async_connection, shared.stale_topics),
            agents=UnheardAgents(connection),
        )

    @classmethod
    def _over(cls, settings: Settings, connection: Redis, async_connection: AsyncRedis) -> Shared:
        keyring = Keyring.load(settings)
        queue = JobQueue(connection, keyring)
        index = CacheIndex(connection, async_connection)
        return cls(
            settings=settings,
            redis=connection,
            async_redis=async_connection,
            keys=keyring,
            queue=queue,
            async_queue=AsyncJobQueue(queue, async_connection),
            cache=ToolCache(connection, async_connection, settings.cache_ttl_seconds),
            cache_index=index,
            embeddings=EmbeddingCache(connection, index),
            server=RedisServer(async_connection, index, settings),
            agents=AgentRegistry(connection),
            heartbeats=Heartbeats(connection),
            installation=Installation(connection, settings.home),
            stale_topics=StaleTopics(settings.home),
            metrics=Metrics(connection),
        )

    def close(self) -> None:
        """Close the blocking connections; an event loop closes its own with `aclose`."""
        self.redis.close()

    async def aclose(self) -> None:
        await self.async_redis.aclose()
        self.close()


def checked_address(settings: Settings) -> str:
    """The server's address; refuses one beyond loopback without credentials."""
    if not settings.redis_enabled:
        raise Disabled("Redis is switched off (REDIS_ENABLED=false), and this needs it")
    address = settings.redis_address()
    parts = urlsplit(address)
    beyond = parts.scheme != "unix" and (parts.hostname or "") not in LOOPBACK
    if beyond and not parts.password and not settings.redis_insecure:
        raise Misconfigured(
            f"Redis at {settings.redis_shown()} is not on this machine and no password is given: set REDIS_PASSWORD "
            "(or LTMC_REDIS_INSECURE=1 on an isolated network)"
        )
    return address
