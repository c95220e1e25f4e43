"""GET /health: what every part says of itself, at most five seconds old. The front end opens no store; workers tell."""

from __future__ import annotations

import asyncio
import json
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import redis
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from ltmc_jobs import keys, user_tools
from ltmc_jobs.orchestration.agent_registry import AgentRegistry
from ltmc_jobs.orchestration.heartbeats import Heartbeats
from ltmc_jobs.queues import fitness
from ltmc_jobs.queues.reach import refusal
from ltmc_jobs.registry import Queue
from ltmc_jobs.settings import Settings
from ltmc_jobs.shared import checked_address

PROBE_AGE_SECONDS = 5.0  # an older finding says nothing about now
PROBE_SECONDS = 15
REDIS_SECONDS = 1.5
STORES = ("database", "vector_store", "neo4j")
UNKNOWN = {"status": "unknown", "error": "no worker has looked at it lately"}
SILENT = "it does not answer its probe; the workers' log says why"  # what it said may hold paths and addresses


class Health:
    """Looks at Redis over a connection of its own, which gives up soon; at most one look at a time."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._looking: asyncio.Future[dict[str, Any]] | None = None
        self._thread = ThreadPoolExecutor(1, "health")  # the pool that everyone shares may be full of waiters
        self._connection: Redis | None = None
        self._faults: tuple[float, list[fitness.Finding]] = (-PROBE_AGE_SECONDS, [])

    async def look(self) -> dict[str, Any]:
        """`status` is healthy, degraded (calls are taken, some will suffer) or unhealthy (no call can be taken)."""
        redis_component, state = await self._ask_redis()
        components = {"redis": redis_component} | _stores(state) | _own_tools()
        live = state.get("live", {})
        silent = [queue.value for queue in Queue if not live.get(queue.value)]
        return {
            "status": _status(components, live),
            "timestamp": _shown(time.time()),
            "components": components,
            "workers": live,
            "queues_without_worker": silent,
            "orchestration": _orchestration(self._settings, state),
        }

    def close(self) -> None:
        """Close the connection; the look that goes on ends by itself."""
        self._thread.shutdown(wait=False)
        if self._connection is not None:
            self._connection.close()

    async def _ask_redis(self) -> tuple[dict[str, Any], dict[str, Any]]:
        if not self._settings.redis_enabled:
            return {"status": "disabled", "checked_at": _shown(time.time())}, {}
        if self._looking is None or self._looking.done():
            self._looking = asyncio.get_running_loop().run_in_executor(self._thread, self._read)
        try:
            state = await asyncio.wait_for(asyncio.shield(self._looking), REDIS_SECONDS)
        except redis.ResponseError as error:
            return _failed(f"Redis {refusal(error) or 'refuses what it is asked'}"), {}
        except (redis.RedisError, OSError, TimeoutError):
            return _failed("Redis does not answer"), {}
        return _fit(state) | {"latency_ms": state["latency_ms"], "checked_at": _shown(state["at"])}, state

    def _read(self) -> dict[str, Any]:
        if self._connection is None:
            limits: Any = {"socket_timeout": REDIS_SECONDS, "socket_connect_timeout": REDIS_SECONDS}
            self._connection = Redis.from_url(checked_address(self._settings), retry=Retry(NoBackoff(), 1), **limits)
        started = time.monotonic()
        seconds, _ = self._connection.time()
        latency = time.monotonic() - started
        # Without a write, a full Redis would look fine, and the stores, of which nothing can be told then, would not.
        self._connection.set(keys.key(keys.INSTALLATION, "probe", "redis"), seconds, ex=PROBE_SECONDS)
        return {
            "at": time.time(),
            "latency_ms": round(latency * 1000, 2),
            "probe": probe_of(self._connection),
            "now": seconds,
            "live": Heartbeats(self._connection).live([queue.value for queue in Queue]),
            "agents": AgentRegistry(self._connection).active(),
            "faults": self._find_faults(self._connection),
        }

    def _find_faults(self, connection: Redis) -> list[fitness.Finding]:
        looked, faults = self._faults
        if time.monotonic() - looked >= PROBE_AGE_SECONDS:
            faults = fitness.findings(connection)
            self._faults = (time.monotonic(), faults)
        return faults


def probe_of(connection: Redis) -> dict[str, Any] | None:
    """What a worker last found out about the stores: `{at, components}`; None for nothing that can be read."""
    found: Any = connection.get(keys.key(keys.INSTALLATION, "probe", "stores"))
    try:
        probe = json.loads(found)
        parts = {name: part for name, part in probe["components"].items() if isinstance(part["status"], str)}
        return {"at": float(probe["at"]), "components": parts}
    except (ValueError, TypeError, LookupError, AttributeError):
        return None


def brief(found: dict[str, Any]) -> dict[str, Any]:
    """What a caller without the token is told."""
    return {"status": found["status"], "timestamp": found["timestamp"]}


def _fit(state: dict[str, Any]) -> dict[str, Any]:
    """Redis as it answers: degraded where it may lose jobs unasked, even if the user allows it."""
    told = {"warnings": [str(fault) for fault in state["faults"] if fault.severity != "note"]}
    unfit = [fault.what for fault in state["faults"] if fault.severity == "refuse"]
    shown = {"status": "degraded", "error": "; ".join(unfit)} if unfit else {"status": "healthy"}
    return shown | (told if told["warnings"] else {})


def _failed(reason: str) -> dict[str, Any]:
    return {"status": "unhealthy", "error": reason, "checked_at": _shown(time.time())}


def _status(components: dict[str, dict[str, Any]], live: dict[str, int]) -> str:
    reached = components["redis"]["status"]
    if reached == "disabled":  # by the user's own setting: no fault, but little is served
        return "degraded"
    if reached == "unhealthy":
        return "unhealthy"
    fine = all(components[name]["status"] == "healthy" for name in ("redis", *STORES))
    return "healthy" if fine and all(live.get(queue.value) for queue in Queue) else "degraded"


def _stores(state: dict[str, Any]) -> dict[str, dict[str, Any]]:
    probe = state.get("probe")
    # Whole seconds on both sides: the probe's time may be cut to one.
    if not probe or int(state["now"]) - int(probe["at"]) > PROBE_AGE_SECONDS:
        return {name: dict(UNKNOWN) for name in STORES}
    checked = {"checked_at": _shown(probe["at"])}
    return {name: _component(probe["components"].get(name, UNKNOWN)) | checked for name in STORES}


def _own_tools() -> dict[str, dict[str, Any]]:
    """What LTMC_TOOLS brought; what is left out of it makes nothing else suffer."""
    loaded = user_tools.loaded()
    if not loaded.entries:
        return {}
    told = {"tools": sorted(loaded.files)}
    if loaded.mistakes:
        return {"tools": {"status": "degraded", "error": "; ".join(map(str, loaded.mistakes))} | told}
    return {"tools": {"status": "healthy"} | told}


def _component(found: dict[str, Any]) -> dict[str, Any]:
    return found | {"error": SILENT} if found["status"] == "unhealthy" else found


def _shown(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def _orchestration(settings: Settings, state: dict[str, Any]) -> dict[str, Any]:
    mode = settings.orchestration_mode
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
