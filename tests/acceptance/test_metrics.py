"""What is counted, against a recount; and the log's line of each run."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from rq import Queue as RqQueue
from rq.registry import DeferredJobRegistry, FailedJobRegistry, FinishedJobRegistry, StartedJobRegistry

from ltmc_jobs import keys
from ltmc_jobs.queues.contract import JobSpec
from ltmc_jobs.registry import JobKind, Queue
from ltmc_jobs.shared import Shared
from tests.acceptance.conftest import Platform
from tests.acceptance.front import Front, logged, samples, settings_of, store, web_of
from tests.conftest import wait_until

UNDECLARED = JobKind(name="not_known_to_the_workers", path="tests.nothing", queue=Queue.LOW, retries=0)
REGISTRIES: dict[str, Any] = {
    "failed": FailedJobRegistry,
    "finished": FinishedJobRegistry,
    "started": StartedJobRegistry,
    "deferred": DeferredJobRegistry,
}


@pytest.fixture(scope="module")
def web(platform: Platform) -> Iterator[httpx.Client]:
    with web_of(platform.url) as opened:
        yield opened


@pytest.fixture(scope="module")
def shared(platform: Platform) -> Iterator[Shared]:
    opened = Shared.open(settings_of(platform))
    yield opened
    opened.close()


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
    second = Front(platform.home, REDIS_PORT=platform.env["REDIS_PORT"]).start().wait()
    try:
        with web_of(second.url) as other:
            for client, agent in ((web, "n03-one"), (web, "n03-two"), (other, "n03-three"), (other, "n03-one")):
                store(client, "n03.md", {"X-LTMC-Agent": agent})
            known: Any = shared.redis.zrange(keys.key("default", "agent"), 0, -1)
            assert {b"n03-one", b"n03-two", b"n03-three"} <= set(known)
            for client in (web, other):
                # Agents of other tests may be forgotten between the two looks.
                wait_until(lambda: samples(client)["ltmc_active_agents", ()] == shared.agents.active() >= 3)  # noqa: B023
                wait_until(lambda: in_health(client) == shared.agents.active() >= 3)  # noqa: B023
    finally:
        second.stop()


def in_health(web: httpx.Client) -> int:
    return int(web.get("/health").json()["orchestration"]["orchestration_status"]["active_agents"])


def test_n05_j12_the_queues_metrics_equal_a_recount(web: httpx.Client, shared: Shared) -> None:
    """N05, J12: what /metrics and GET /queues say is what RQ's own classes count, queue by queue."""
    failing = [JobSpec(kind=UNDECLARED, args={}, project="n05") for _ in range(3)]
    shared.queue.enqueue_many(failing)
    for spec in failing:
        assert shared.queue.outcome(spec.id, 10).error is not None
    waiting = JobSpec(kind=UNDECLARED, args={}, project="n05", depends_on=(failing[0].id,))
    with_parent = JobSpec(kind=UNDECLARED, args={}, project="n05", depends_on=(waiting.id,))
    shared.queue.enqueue_many([waiting, with_parent])
    # Jobs of others come and go between the looks: some look must see the same three times.
    wait_until(lambda: not differing(web, shared), 10, "equal counts")
    counted = web.get("/queues").json()["queues"]
    assert counted["low"]["failed"] >= 3
    assert counted["low"]["deferred"] >= 1
    live = web.get("/health").json()["workers"]
    assert {queue: counted[queue]["workers"] for queue in live} == live


def differing(web: httpx.Client, shared: Shared) -> list[str]:
    """The queues of which /queues, /metrics and RQ's own classes do not say the same."""
    counted, found, wrong = web.get("/queues").json()["queues"], samples(web), []
    for queue in Queue:
        recount = {
            state: registry(queue.value, connection=shared.redis).get_job_count(cleanup=False)
            for state, registry in REGISTRIES.items()
        } | {"queued": RqQueue(queue.value, connection=shared.redis).count}
        told = {state: counted[queue][state] for state in recount}
        measured = {state: found["rq_jobs", (queue.value, state)] for state in recount}
        aged = found["ltmc_queue_oldest_job_age_seconds", (queue.value,)] == counted[queue]["oldest_age_seconds"]
        if not (told == measured == recount and aged):
            wrong.append(queue.value)
    return wrong


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
        answer = web.get("/made/up", headers={b"X-Request-ID": wrong.encode()})
        assert answer.headers["x-request-id"] != wrong
        assert answer.headers["x-request-id"] == answer.json()["error"]["id"]
    named = web.get("/tools", headers={"X-LTMC-Agent": "x" * 257})
    assert (named.status_code, named.json()["error"]["code"]) == (400, "invalid_call")
