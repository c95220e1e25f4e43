"""The cache tools as callers meet them: counts that are true, a flush that hits the cache alone, an honest PING."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from ltmc_jobs import keys
from tests.acceptance.conftest import Platform
from tests.acceptance.front import Front, redis_of, web_of
from tests.conftest import build_settings, free_port
from workers.server import EmbeddedServer


@pytest.fixture(scope="module")
def web(platform: Platform) -> Iterator[httpx.Client]:
    with web_of(platform.url) as opened:
        yield opened


def call(web: httpx.Client, tool: str, project: str, **arguments: Any) -> dict[str, Any]:
    answer = web.post(f"/tools/{tool}", params={"project": project, "wait": 30}, json=arguments)
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    assert shown["success"] is True
    return shown


def test_a26_a27_the_cache_is_counted_and_emptied(platform: Platform, web: httpx.Client) -> None:
    """A26, A27: what searches leave is counted; after a flush of it the next search is worked out anew."""
    project = "cache-tools"
    call(web, "store_memory", project, file_name="moss.md", content="Moss drinks fog.", wait_for="linked")
    for query in ("fog", "moss", "fog"):
        call(web, "retrieve_memory", project, query=query)
    stats = call(web, "redis_cache_stats", project)["stats"]
    with redis_of(platform) as connection:
        found = [keys.parse(raw.decode()) for raw in connection.scan_iter(f"ltmc:1:{project}:*")]
        kept = sum(family in ("cache", "embedding") for _, family, _ in found)
        assert (stats["query_cache_count"], stats["total_cached"]) == (2, kept)
        assert stats["tool_cache_count"] == stats["chunk_cache_count"] == 0
        assert stats["redis_version"] == connection.info()["redis_version"]
        assert stats["used_memory"] > 0
        assert stats["total_connections"] > 0
        assert stats["total_keys"] > kept
        assert stats["connected"] is True
    assert call(web, "retrieve_memory", project, query="fog")["cached"] is True
    assert call(web, "redis_flush_cache", project, cache_type="tools")["result"]["total_flushed"] == 0
    assert call(web, "retrieve_memory", project, query="fog")["cached"] is True
    flushed = call(web, "redis_flush_cache", project)["result"]
    assert flushed["flushed_queries"] == 2
    assert flushed["total_flushed"] == kept == flushed["flushed_queries"] + flushed["flushed_embeddings"]
    assert (flushed["flushed_chunks"], flushed["flushed_tools"], flushed["flushed_resources"]) == (0, 0, 0)
    anew = call(web, "retrieve_memory", project, query="fog")
    assert "cached" not in anew
    assert anew["total_results"] == 1, "nothing that is remembered was lost"
    refused = web.post("/tools/redis_flush_cache", json={"cache_type": "everything"})
    assert (refused.status_code, refused.json()["error"]["details"]["field"]) == (422, "cache_type")


def health(web: httpx.Client) -> dict[str, Any]:
    """What redis_health_check says, which it must say within two seconds."""
    started = time.monotonic()
    found: dict[str, Any] = call(web, "redis_health_check", "default")["health"]
    assert time.monotonic() - started < 2
    assert found["healthy"] == found["connected"]
    return found


def test_a28_a_lost_server_is_said_to_be_lost(tmp_path: Path) -> None:
    """A28: a real PING with its latency; false within two seconds of a server that hangs, and of one that is gone."""
    settings = build_settings(tmp_path / "server", REDIS_PORT=free_port())
    server = EmbeddedServer(settings)
    server.start()
    address = server.settings.redis_address()
    front = Front(tmp_path / "front", REDIS_URL=address).start().wait()
    try:
        with web_of(front.url) as web:
            well = health(web)
            assert well["healthy"] is True
            assert 0 < well["latency_ms"] < 1000
            assert (well["host"], well["port"], well["db"]) == ("127.0.0.1", settings.redis_port, 0)
            assert well["reason"] is None
            process = psutil.Process(int(server_pid(address)))
            process.send_signal(signal.SIGSTOP)
            hung = health(web)
            process.send_signal(signal.SIGCONT)
            assert (hung["healthy"], hung["latency_ms"]) == (False, None)
            assert "within" in hung["reason"]
            assert health(web)["healthy"] is True
            server.stop()
            gone = health(web)
            assert (gone["healthy"], gone["reason"]) == (False, "it cannot be reached")
            unavailable = web.post("/tools/redis_cache_stats", json={})
            assert (unavailable.status_code, unavailable.json()["error"]["code"]) == (503, "queue_unavailable")
            assert web.post("/tools/redis_flush_cache", json={}).status_code == 503
            server.start()
            assert health(web)["healthy"] is True
    finally:
        front.stop()
        server.stop()


def server_pid(address: str) -> int:
    """The process id that a server says it has."""
    import redis

    with redis.Redis.from_url(address) as connection:
        return int(connection.info("server")["process_id"])
