"""Look at the stores every few seconds and publish what was found: the front end cannot open a store itself."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import redis
import structlog

from ltmc_jobs import keys
from ltmc_jobs.services import Services

PROBE_SECONDS = 2.0  # twice as often as a probe may be old, so that a busy machine is not "unknown"
PROBE_LIFE_SECONDS = 15

log = structlog.get_logger("ltmc.probes")


class Probes(threading.Thread):
    """Publishes `{at, components: {name: {status, …}}}` until stopped."""

    def __init__(self, services: Services) -> None:
        super().__init__(daemon=True, name="probes")
        self._services = services
        self._stopping = threading.Event()

    def run(self) -> None:
        while True:
            with suppress(redis.RedisError):
                publish(self._services)
            if self._stopping.wait(PROBE_SECONDS):
                return

    def stop(self) -> None:
        self._stopping.set()
        if self.is_alive():
            self.join()


def publish(services: Services) -> dict[str, Any]:
    """Probe once and write the finding to Redis."""
    seconds, _ = services.shared.redis.time()
    found = {"at": seconds, "components": probe(services)}
    services.shared.redis.set(keys.key(keys.INSTALLATION, "probe", "stores"), json.dumps(found), ex=PROBE_LIFE_SECONDS)
    return found


def probe(services: Services) -> dict[str, Any]:
    """Ask each store once: status, latency in ms, and its counts."""
    tiers = services.tiers
    backend = services.shared.settings.graph_address.partition(":")[0]
    return {
        "database": _asked(lambda: tiers.records.check(), lambda: tiers.records.count()),
        "vector_store": _asked(lambda: tiers.vectors.check(), lambda: {"vectors": tiers.vectors.count()}),
        "neo4j": _asked(lambda: tiers.graph.check(), lambda: tiers.graph.count()) | {"backend": backend},
    }


def _asked(check: Callable[[], None], count: Callable[[], dict[str, int]]) -> dict[str, Any]:
    started = time.monotonic()
    try:
        check()
        counted = count()
    except Exception as error:
        log.warning("a store does not answer", error=f"{type(error).__name__}: {error}")
        return {"status": "unhealthy", "error": str(error)}
    return {"status": "healthy", "latency_ms": round((time.monotonic() - started) * 1000, 2)} | counted
