"""Looking into a whole platform: a request's trace through its processes, and what its fleet and a job say of it."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.acceptance.conftest import Platform
from tests.acceptance.front import logged, store, web_of
from tests.acceptance.test_cli import called, on_terminal, printed
from tests.conftest import wait_until

TRACE = "n08-trace.of_one-request"
STEPS = {"store_memory", "embed_texts", "index_versions", "link_versions"}


@pytest.fixture(scope="module")
def web(platform: Platform) -> Iterator[httpx.Client]:
    with web_of(platform.url) as opened:
        yield opened


def test_n08_one_trace_follows_a_request_through_all_processes(platform: Platform, web: httpx.Client) -> None:
    """N08: HTTP, its job, the jobs that follow, each in the log of its own process, and in the answers."""
    given = {"X-Request-ID": TRACE}
    answer = web.post(
        "/tools/store_memory?wait=45", headers=given, json={"file_name": "n08.md", "content": "A trace of one request."}
    )
    assert answer.headers["X-Request-ID"] == TRACE

    def lines() -> list[dict[str, object]]:
        return [line for line in logged(platform.home) if line.get("request_id") == TRACE and line.get("tool_name")]

    wait_until(lambda: {line["tool_name"] for line in lines()} >= STEPS, 30, "all steps are logged")
    assert len({line["process"] for line in lines()}) >= 4, "of one pool each"
    kept = {answer.json()["job_id"], *answer.json()["jobs"].values()}  # those of the vectors go when they are indexed
    assert kept <= {line["job_id"] for line in lines()}
    for job_id in kept:
        assert web.get(f"/jobs/{job_id}").json()["meta"]["trace_id"] == TRACE
        assert printed(called(platform, "why", job_id))["trace_id"] == TRACE
    refused = web.post("/tools/store_memory", headers={"X-Request-ID": f"{TRACE}.2"}, json={})
    assert refused.json()["error"]["id"] == f"{TRACE}.2"
    wait_until(lambda: any(line.get("request_id") == f"{TRACE}.2" for line in logged(platform.home)), 10)


def test_the_fleet_and_a_job_are_readable_on_a_terminal(platform: Platform, web: httpx.Client) -> None:
    """Every process of the platform is in its fleet, however narrow the terminal; a job's story is a few lines."""
    processes = [row for host in printed(called(platform, "fleet"))["hosts"] for row in host["processes"]]
    assert {row["pool"] for row in processes} >= {"critical", "high", "default", "embedding", "vectors", "errands"}
    for columns in (80, 140):
        shown = on_terminal(platform, "fleet", columns=columns)
        assert all(f" {row['pid']} " in shown for row in processes), shown
        assert "leader: " in shown
    job_id = store(web, "readable.md")["job_id"]
    told = on_terminal(platform, "why", job_id)
    assert f"job {job_id}: store_memory, project default" in told
    assert "finished: kept for another" in told
    assert "runs begun: 1; trace " in told
    assert "maintenance" in on_terminal(platform, "jobs", "queues", columns=80)
