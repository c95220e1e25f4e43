"""GET /health: what every part says of itself, at most five seconds old. The front end opens no store; workers tell."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime
from typing import Any

import redis

from ltmc_jobs import keys
from ltmc_jobs.registry import Queue
from ltmc_jobs.shared import Shared

PROBE_AGE_SECONDS = 9.0  # probes come every 4 s: one may be late, two mean that nobody looks
REDIS_SECONDS = 2.0
STORES = ("database", "vector_store", "neo4j")
NEEDED_QUEUES = (Queue.CRITICAL, Queue.HIGH, Queue.DEFAULT, Queue.LOW)
UNKNOWN = {"status": "unknown", "error": "no worker has looked at it lately"}


async def health(shared: Shared) -> dict[str, Any]:
    """`status` is healthy, degraded (calls are taken, some will suffer) or unhealthy (no call can be taken)."""
    redis_component, state = await _ask_redis(shared)
    components = {"redis": redis_component} | _stores(state)
    live = state.get("live", {})
    silent = [queue.value for queue in Queue if not live.get(queue.value)]
    return {
        "status": _status(components, live),
        "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "components": components,
        "workers": live,
        "queues_without_worker": silent,
        "orchestration": _orchestration(shared, state),
    }


def brief(found: dict[str, Any]) -> dict[str, Any]:
    """What a caller without the token is told."""
    return {"status": found["status"], "timestamp": found["timestamp"]}


def _status(components: dict[str, dict[str, Any]], live: dict[str, int]) -> str:
    if components["redis"]["status"] != "healthy":
        return "unhealthy"
    stores_fine = all(components[name]["status"] == "healthy" for name in STORES)
    return "healthy" if stores_fine and all(live.get(queue.value) for queue in Queue) else "degraded"


async def _ask_redis(shared: Shared) -> tuple[dict[str, Any], dict[str, Any]]:
    if not shared.settings.redis_enabled:
        return {"status": "disabled"}, {}
    started = time.monotonic()
    try:
        state = await asyncio.wait_for(asyncio.to_thread(_read, shared), REDIS_SECONDS)
    except (redis.RedisError, OSError, TimeoutError):
        return {"status": "unhealthy", "error": "Redis does not answer"}, {}
    return {"status": "healthy", "latency_ms": round((time.monotonic() - started) * 1000, 2)}, state


def _read(shared: Shared) -> dict[str, Any]:
    shared.redis.ping()
    found: Any = shared.redis.get(keys.key(keys.INSTALLATION, "probe", "stores"))
    seconds, _ = shared.redis.time()
    return {
        "probe": json.loads(found) if found else None,
        "now": seconds,
        "live": shared.heartbeats.live([queue.value for queue in Queue]),
        "agents": shared.agents.active(),
    }


def _stores(state: dict[str, Any]) -> dict[str, dict[str, Any]]:
    probe = state.get("probe")
    if not probe or state["now"] - probe["at"] > PROBE_AGE_SECONDS:
        return {name: dict(UNKNOWN) for name in STORES}
    return {name: probe["components"].get(name, dict(UNKNOWN)) for name in STORES}


def _orchestration(shared: Shared, state: dict[str, Any]) -> dict[str, Any]:
    mode = shared.settings.orchestration_mode
    there = bool(state)
    return {
        "orchestration_enabled": mode != "disabled",
        "services_available": {"tool_cache": there, "agent_registry": there},
        "orchestration_status": {
            "initialized": there,
            "mode": mode,
            "active_agents": state.get("agents", 0),
            "services": {"redis": there, "tool_cache": there, "agent_registry": there},
        },
    }
