"""ToolCache: results that may be given again while their topics stand as they stood when the call arrived.

A key holds the generation of its topics as read on arrival, so a change that happens while the job runs makes
the late result unreachable, not wrong.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from ltmc_jobs import keys
from ltmc_jobs.orchestration import changes
from ltmc_jobs.orchestration.cache_index import CacheIndex, Kind
from ltmc_jobs.registry import Tool

ENTRY_BYTES = 65_536  # what is longer costs more room than the work it saves


class ToolCache:
    """Look (asyncio, front end), fill and bump (blocking, workers)."""

    def __init__(self, connection: Redis, async_connection: AsyncRedis, ttl_seconds: int) -> None:
        self._connection = connection
        self._async_connection = async_connection
        self._ttl_seconds = ttl_seconds
        self._index = CacheIndex(connection, async_connection)

    async def look(
        self, tool: Tool, project: str, arguments: dict[str, Any]
    ) -> tuple[str | None, dict[str, Any] | None]:
        """The key under which the result belongs, and the entry there, `{job_id, result}`; (None, None): no cache."""
        if tool.cache is None or any(arguments.get(name) for name in tool.cache.unless):
            return None, None
        generations: Any = await self._async_connection.mget(
            [keys.key(project, "topic", topic) for topic in (tool.cache.topics if tool.cache else ())]
        )
        generation = "-".join((value or b"0").decode() for value in generations)
        name = keys.key(project, "cache", tool.form.name, _digest(arguments), generation)
        found = await self._async_connection.get(name)
        return name, _entry(found) if found else None

    def fill(self, tool: Tool, cache_key: str, job_id: str, result: Any) -> None:
        """Keep a result under the key that travelled with its job; the entries nearest to their end make room."""
        entry = json.dumps({"job_id": job_id, "result": result})
        if len(entry) > ENTRY_BYTES or (isinstance(result, dict) and result.get("missing")):
            return  # too long, or made while something was away
        ttl = (tool.cache.ttl_seconds if tool.cache else None) or self._ttl_seconds
        self._index.keep(kind_of(tool), cache_key, entry, ttl)

    def bump(self, project: str, topics: Iterable[str]) -> None:
        """Make every result that depends on these topics unreachable, and tell who waits for a change."""
        changed = list(topics)
        if not changed:
            return
        pipeline = self._connection.pipeline(transaction=False)
        for topic in changed:
            pipeline.incr(keys.key(project, "topic", topic))
        changes.tell(pipeline, project, changed)
        pipeline.execute()


def kind_of(tool: Tool) -> Kind:
    """Where a tool's results are counted: a search's as queries, all others as tools."""
    return "queries" if "query" in tool.form.input_schema["properties"] else "tools"


def _entry(found: bytes | str) -> dict[str, Any] | None:
    """An entry as `fill` wrote it; None for what is damaged, which a worker's answer then replaces."""
    try:
        entry = json.loads(found)
        whole = isinstance(entry["job_id"], str) and isinstance(entry["result"], dict)
    except (ValueError, TypeError, LookupError):
        return None
    return entry if whole else None


def _digest(arguments: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(arguments, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:32]
