"""What /health says when parts of the platform are taken away."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

import httpx
import numpy as np
import pytest

from ltmc_jobs import keys
from ltmc_jobs.stores.contracts import ChunkText, Document
from ltmc_jobs.stores.records_sqlite import SqliteRecords
from tests.acceptance.conftest import Platform
from tests.acceptance.front import redis_of, samples, settings_of, store, web_of
from tests.conftest import wait_until
from workers.record import Record

LATE = 5.0  # seconds in which /health knows


@pytest.fixture(scope="module", name="platform")
def _platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """One that may be hurt."""
    made = Platform.at(tmp_path_factory.mktemp("hurt") / "home")
    made.workers("start", "--detach")
    yield made
    made.workers("stop")


@pytest.fixture(scope="module")
def web(platform: Platform) -> Iterator[httpx.Client]:
    with web_of(platform.url) as opened:
        yield opened


def is_healthy(web: httpx.Client) -> bool:
    return bool(web.get("/health").json()["status"] == "healthy")


def component(web: httpx.Client, name: str) -> str:
    return str(web.get("/health").json()["components"][name]["status"])


@contextmanager
def stopped(platform: Platform, child: str) -> Iterator[int]:
    """Within, a child of the supervisor stands still."""
    record = Record.load(settings_of(platform))
    assert record is not None
    pid = record.children[child].pid
    os.kill(pid, signal.SIGSTOP)
    try:
        yield pid
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def test_t12_both_shapes_stand_in_one_document(web: httpx.Client) -> None:
    """T12: S0's orchestration block and S2's components."""
    shown = web.get("/health").json()
    assert shown["status"] == "healthy"
    assert set(shown["components"]) == {"database", "redis", "vector_store", "neo4j"}
    assert all(part["status"] == "healthy" for part in shown["components"].values())
    assert datetime.fromisoformat(shown["timestamp"]).tzinfo is not None
    orchestration = shown["orchestration"]
    assert set(orchestration) == {"orchestration_enabled", "services_available", "orchestration_status"}
    status = orchestration["orchestration_status"]
    assert set(status) == {"initialized", "mode", "active_agents", "services"}
    assert (status["initialized"], status["mode"]) == (True, "basic")


def test_t12_each_value_is_at_most_five_seconds_old(web: httpx.Client) -> None:
    """T12: each part says when it was looked at; followed until a new look was published."""
    looks: set[str] = set()
    while len(looks) < 2:
        shown = web.get("/health").json()
        now = datetime.fromisoformat(shown["timestamp"])
        for name, part in shown["components"].items():
            if part["status"] != "unknown":  # a busy machine may look too late, and says so
                age = int(now.timestamp()) - int(datetime.fromisoformat(part["checked_at"]).timestamp())
                assert 0 <= age <= LATE, (name, part)
        looks.add(shown["components"]["database"].get("checked_at", ""))


def test_t13_a_redis_that_stands_still(platform: Platform, web: httpx.Client) -> None:
    """T13: unhealthy and 503 within 5 s, in an answer that comes soon; healthy again within 5 s; calls work."""
    with stopped(platform, "redis"):
        wait_until(lambda: web.get("/health").status_code == 503, LATE, "unhealthy")
        started = time.monotonic()
        answer = web.get("/health")
        assert time.monotonic() - started < 3
        assert answer.json()["status"] == "unhealthy"
        assert answer.json()["components"]["redis"]["status"] == "unhealthy"
        assert answer.json()["components"]["database"]["status"] == "unknown"
        assert web.get("/tools").json()["count"] > 0
    wait_until(lambda: is_healthy(web), LATE, "healthy")
    assert store(web, "after.md")["version"] == 1


def test_t13_a_redis_that_is_killed(platform: Platform, web: httpx.Client) -> None:
    """T13: it is started again with what it held; healthy within 5 s, and the next call is carried out."""
    before = store(web, "before-the-kill.md")
    with stopped(platform, "redis") as pid:
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: web.get("/health").status_code == 503 or is_healthy(web), LATE)
    wait_until(lambda: is_healthy(web), LATE, "healthy")
    assert web.get(f"/jobs/{before['job_id']}").json()["status"] == "finished"
    assert store(web, "after-the-kill.md")["version"] == 1


def test_t13_the_records_file_is_gone(platform: Platform, web: httpx.Client) -> None:
    """T13: degraded within 5 s with 200, without a word of where the file was; healthy when it is back."""
    wait_until(lambda: is_healthy(web), 10)
    file = platform.home / "ltmc.db"
    aside = file.rename(file.with_name("aside"))
    file.mkdir()
    try:
        wait_until(lambda: component(web, "database") == "unhealthy", LATE + 1, "the database is missed")
        answer = web.get("/health")
        assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
        assert str(platform.home) not in answer.text
        refused = web.post("/tools/store_memory?wait=20", json={"file_name": "x", "content": "x"})
        assert refused.json()["error"]["code"] == "store_unavailable", refused.text
        assert str(platform.home) not in refused.text
    finally:
        file.rmdir()
        aside.rename(file)
    wait_until(lambda: is_healthy(web), LATE + 1, "healthy")
    assert store(web, "file-back.md")["version"] == 1


def test_t13_the_index_is_gone(platform: Platform, web: httpx.Client) -> None:
    """T13, N04: degraded within 5 s when a snapshot is missing, healthy when the next indexing has rebuilt it."""
    write_vectors(platform.home / "ltmc.db", 300)
    store(web, "one-more.md", wait_for="searchable")
    snapshot = wait_until(lambda: list((platform.home / "faiss_index").rglob("*.faiss")), 10, "a snapshot")[0]
    wait_until(lambda: is_healthy(web), 10)
    wait_until(lambda: samples(web)["ltmc_vector_index_size", ()] == count_vectors(platform.home), LATE + 1)
    snapshot.unlink()
    wait_until(lambda: component(web, "vector_store") == "unhealthy", LATE + 1, "the index is missed")
    assert web.get("/health").json()["status"] == "degraded"
    assert store(web, "rebuilds.md", wait_for="searchable")["state"] == "searchable"
    wait_until(lambda: is_healthy(web), LATE + 1, "healthy")
    assert list((platform.home / "faiss_index").rglob("*.faiss"))


def test_t13_a_finding_that_cannot_be_read_is_none(platform: Platform, web: httpx.Client) -> None:
    """T13: /health and /metrics answer whatever Redis holds where a worker's finding should be."""
    with redis_of(platform) as connection:
        for damaged in (b"{", b"[]", b"\xff", b'{"at": "x", "components": {}}', b'{"at": 1, "components": 2}'):
            connection.set(keys.key(keys.INSTALLATION, "probe", "stores"), damaged, ex=10)
            shown = web.get("/health")
            assert (shown.status_code, web.get("/metrics").status_code) == (200, 200), damaged
            state = shown.json()["components"]["database"]["status"]
            assert state in ("unknown", "healthy"), damaged  # or a new finding came just now
    wait_until(lambda: is_healthy(web), 10)


def write_vectors(file: Path, count: int) -> None:
    """A document of so many chunks with their vectors, as the jobs write them; the model is spared the work."""
    records = SqliteRecords(file)
    numbers = np.random.default_rng(5).standard_normal((count, 384)).astype(np.float32)
    vectors = numbers / np.linalg.norm(numbers, axis=1, keepdims=True)
    version = records.record(
        Document(project="default", file_name="many.md", content="x" * count),
        [ChunkText("x", n, n + 1) for n in range(count)],
        job_id=uuid.uuid4().hex,
    )
    records.add_vectors(list(zip(version.chunk_ids, vectors, strict=True)), model="all-MiniLM-L6-v2")
    assert records.publish(version.resource_id, version.version)
    records.close()


def count_vectors(home: Path) -> int:
    with sqlite3.connect(f"file:{home / 'ltmc.db'}?mode=ro", uri=True) as connection:
        counted = connection.execute("SELECT count(*) FROM vectors").fetchone()[0]
    connection.close()
    return int(counted)
