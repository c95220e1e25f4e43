"""Look into the cache that Redis holds, and empty it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, get_args

from pydantic import Field

from ltmc_jobs.registry import Queue, Tier, question, tool
from ltmc_jobs.results.cache import Flushed, FlushedCache, RedisCacheStats, RedisHealthCheck

if TYPE_CHECKING:
    from ltmc_jobs.client import Client
    from ltmc_jobs.services import Services
    from ltmc_jobs.session import Session

Kind = Literal["embeddings", "queries", "tools", "chunks"]


@question()
async def redis_cache_stats(client: Client, session: Session) -> RedisCacheStats:
    """How many results, vectors and chunks the project's cache holds, and how full its server is."""
    return await client.shared.server.stats(session.project)


@question()
async def redis_health_check(client: Client, session: Session) -> RedisHealthCheck:
    """Whether Redis answers, and how soon; answered while it is away too."""
    return await client.shared.server.check()


@tool(queue=Queue.HIGH, tiers=(Tier.REDIS,), changes=("cache",), destructive=True, idempotent=True)
def redis_flush_cache(
    services: Services,
    cache_type: Annotated[
        Literal["all", "embeddings", "queries", "tools", "chunks"],
        Field(
            description="queries: results of searches; tools: other results; embeddings: vectors of queries; chunks: "
            "passages"
        ),
    ] = "all",
) -> FlushedCache:
    """Empty the project's cache; nothing that is remembered is lost, and what is asked next is worked out anew."""
    index, project = services.shared.cache_index, services.current.project
    kinds: tuple[Kind, ...] = get_args(Kind)
    flushed = {kind: index.flush(project, kind) if cache_type in ("all", kind) else 0 for kind in kinds}
    return FlushedCache(
        result=Flushed(
            flushed_embeddings=flushed["embeddings"],
            flushed_queries=flushed["queries"],
            flushed_tools=flushed["tools"],
            flushed_chunks=flushed["chunks"],
            flushed_resources=0,
            total_flushed=sum(flushed.values()),
        )
    )
