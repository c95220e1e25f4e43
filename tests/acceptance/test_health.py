"""What the platform says of itself: /health when parts of it are taken away, /metrics against a recount, the logs."""

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
from typing import Any

import httpx
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families
from rq import Queue as RqQueue
from rq.registry import DeferredJobRegistry, FailedJobRegistry, FinishedJobRegistry, StartedJobRegistry

from ltmc_jobs.queues.contract import JobSpec
from ltmc_jobs.registry import JobKind, Queue
from ltmc_jobs.shared import Shared
from ltmc_jobs.stores.contracts import ChunkText
from ltmc_jobs.stores.records_sqlite import SqliteRecords
from tests.acceptance.conftest import Platform
from tests.acceptance.front import Front, logged, settings_of, web_of
from tests.conftest import wait_until
from workers.record import Record

LATE = 5.0  # seconds in which /health knows
UNDECLARED = JobKind(name="not_known_to_the_workers", path="tests.nothing", queue=Queue.LOW, retries=0)


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


@pytest.fixture(scope="module")
def shared(platform: Platform) -> Iterator[Shared]:
    opened = Shared.open(settings_of(platform))
    yield opened
    opened.close()


def store(web: httpx.Client, name: str, headers: dict[str, str] | None = None, **more: str) -> dict[str, Any]:
    note = {"file_name": name, "content": f"About {name}."} | more
    answer = web.post("/tools/store_memory?wait=45", json=note, headers=headers)
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


def samples(web: httpx.Client) -> dict[tuple[str, tuple[str, ...]], float]:
    """Every sample of /metrics, by its name and the values of its labels."""
    text = web.get("/metrics").text
    found = [one for family in text_string_to_metric_families(text) for one in family.samples]
    return {(one.name, tuple(value for _, value in sorted(one.labels.items()))): one.value for one in found}


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


def write_vectors(file: Path, count: int) -> None:
    """A document of so many chunks with their vectors, as the jobs write them; the model is spared the work."""
    records = SqliteRecords(file)
    numbers = np.random.default_rng(5).standard_normal((count, 384)).astype(np.float32)
    vectors = numbers / np.linalg.norm(numbers, axis=1, keepdims=True)
    version = records.record(
        project="default",
        file_name="many.md",
        resource_type="document",
        content="x" * count,
        chunks=[ChunkText("x", n, n + 1) for n in range(count)],
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


def test_t17_the_parser_accepts_the_metrics(web: httpx.Client) -> None:
    """T17, N02: Prometheus text with the four metrics, the histogram from 1 ms to 10 s."""
    answer = web.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    families = {family.name: family for family in text_string_to_metric_families(answer.text)}
    assert {name: families[name].type for name in ("ltmc_requests", "ltmc_request_duration_seconds")} == {
        "ltmc_requests": "counter",
        "ltmc_request_duration_seconds": "histogram",
    }
    assert {"ltmc_active_agents", "ltmc_vector_index_size", "rq_jobs", "rq_workers"} <= set(families)
    bounds = {one.labels["le"] for one in families["ltmc_request_duration_seconds"].samples if "le" in one.labels}
    assert {"0.001", "10.0", "+Inf"} <= bounds
    for family in families.values():
        assert family.documentation, family.name


def test_n01_n02_the_counters_equal_the_requests_sent(web: httpx.Client) -> None:
    """N01, N02: exactly, by method and status, of whatever kind they are; the histogram counts the same."""
    sent = [
        ("GET", "/tools", {}, 7, "GET /tools", "200"),
        ("POST", "/jsonrpc", {"json": {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}}, 5, "POST /jsonrpc", "200"),
        ("POST", "/tools/store_memory", {"json": {}}, 3, "POST /tools/store_memory", "422"),
        ("GET", f"/jobs/{uuid.uuid4()}", {}, 4, "GET /jobs/{job_id}", "404"),
        ("GET", "/made/up", {}, 6, "GET other", "404"),
        ("GET", "/tools", {"headers": {"Host": "evil.example"}}, 2, "GET other", "403"),
        ("BREW", "/tools", {}, 3, "OTHER /tools", "405"),
        ("GET", "/rq/", {}, 2, "GET /rq", "403"),
    ]
    before = samples(web)
    for method, path, options, count, _, status in sent:
        for _n in range(count):
            assert str(web.request(method, path, **options).status_code) == status  # type: ignore[arg-type]
    after = samples(web)

    def grown(name: str, *labels: str) -> float:
        return after.get((name, labels), 0.0) - before.get((name, labels), 0.0)

    for _, _, _, count, label, status in sent:
        assert grown("ltmc_requests_total", label, status) == count, (label, status)
    for label in {label for *_, label, _ in sent}:
        total = sum(count for _, _, _, count, other, _ in sent if other == label)
        assert grown("ltmc_request_duration_seconds_count", label) == total, label
        assert grown("ltmc_request_duration_seconds_bucket", "+Inf", label) == total, label
    names = [labels[0] for name, labels in after if name == "ltmc_requests_total"]
    assert not any("made" in name or "BREW" in name for name in names), "callers make up no labels"


def test_n03_agents_are_counted_over_all_processes(platform: Platform, web: httpx.Client, shared: Shared) -> None:
    """N03: two front ends, several workers, three agents; each /metrics and /health tells the registry's number."""
    before = shared.agents.active()
    second = Front(platform.home, REDIS_PORT=platform.env["REDIS_PORT"]).start().wait()
    try:
        with web_of(second.url) as other:
            for client, agent in ((web, "n03-one"), (web, "n03-two"), (other, "n03-three"), (other, "n03-one")):
                store(client, "n03.md", {"X-LTMC-Agent": agent})
            assert shared.agents.active() == before + 3
            for client in (web, other):
                assert samples(client)["ltmc_active_agents", ()] == before + 3
                status = client.get("/health").json()["orchestration"]["orchestration_status"]
                assert status["active_agents"] == before + 3
    finally:
        second.stop()


def test_n05_j12_the_queues_metrics_equal_a_recount(web: httpx.Client, shared: Shared) -> None:
    """N05, J12: what /metrics and GET /queues say is what RQ's own classes count, queue by queue."""
    failing = [JobSpec(kind=UNDECLARED, args={}, project="n05") for _ in range(3)]
    shared.queue.enqueue_many(failing)
    for spec in failing:
        assert shared.queue.outcome(spec.id, 10).error is not None
    waiting = JobSpec(kind=UNDECLARED, args={}, project="n05", depends_on=(failing[0].id,))
    with_parent = JobSpec(kind=UNDECLARED, args={}, project="n05", depends_on=(waiting.id,))
    shared.queue.enqueue_many([waiting, with_parent])
    counted = web.get("/queues").json()["queues"]
    found = samples(web)
    live = web.get("/health").json()["workers"]
    for queue in Queue:
        registries = {
            "failed": FailedJobRegistry,
            "finished": FinishedJobRegistry,
            "started": StartedJobRegistry,
            "deferred": DeferredJobRegistry,
        }
        recount = {
            state: registry(queue.value, connection=shared.redis).get_job_count(cleanup=False)
            for state, registry in registries.items()
        } | {"queued": RqQueue(queue.value, connection=shared.redis).count}
        assert {state: counted[queue][state] for state in recount} == recount, queue
        assert {state: found["rq_jobs", (queue.value, state)] for state in recount} == recount, queue
        assert counted[queue]["workers"] == live[queue]
        assert found["ltmc_queue_oldest_job_age_seconds", (queue.value,)] == counted[queue]["oldest_age_seconds"]
    assert counted["low"]["failed"] >= 3
    assert counted["low"]["deferred"] >= 1


def test_n06_a_line_of_each_run_with_the_callers_request_id(platform: Platform, web: httpx.Client) -> None:
    """N06: one JSON line with all the fields, and the X-Request-ID of the HTTP request in the job's line."""
    headers = {"X-Request-ID": "n06-request", "X-LTMC-Agent": "n06-agent", "X-LTMC-Session": "n06-session"}
    assert store(web, "n06.md", headers)["job_id"]
    lines = [line for line in logged(platform.home) if line.get("tool_name") and line["request_id"] == "n06-request"]
    line = next(line for line in lines if line["tool_name"] == "store_memory")
    assert line["success"] is True
    assert line["execution_time_ms"] > 0
    assert (line["agent_id"], line["session_id"]) == ("n06-agent", "n06-session")
    assert sum(line["tool_name"] == "store_memory" for line in lines) == 1
    for wrong in ("a b", "x" * 65, "né", 'a"b'):
        answer = web.get("/made/up", headers={"X-Request-ID": wrong.encode()})  # type: ignore[dict-item]
        assert answer.headers["x-request-id"] != wrong
        assert answer.headers["x-request-id"] == answer.json()["error"]["id"]
    named = web.get("/tools", headers={"X-LTMC-Agent": "x" * 257})
    assert (named.status_code, named.json()["error"]["code"]) == (400, "invalid_call")
