"""REST as a program meets it: tools and jobs as resources, projects apart, and an API that never stands still."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from fastapi.routing import iter_route_contexts
from jsonschema import Draft202012Validator

from api.app import create_app
from ltmc_jobs.queues.envelope import Keyring
from ltmc_jobs.registry import Queue
from tests.acceptance.conftest import Platform
from tests.acceptance.front import Front, logged, web_of
from tests.conftest import MakeSettings
from workers.server import EmbeddedServer

NOTE = {"file_name": "README.md", "content": "The heron stands in the reeds."}


@pytest.fixture(scope="module")
def web(two_fronts: httpx.Client) -> httpx.Client:
    """T20: the whole suite passes with two front ends."""
    return two_fronts


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, redis_server: EmbeddedServer) -> Iterator[httpx.Client]:
    """An API without a single worker."""
    redis_url = redis_server.settings.redis_address()
    front = Front(tmp_path_factory.mktemp("alone") / "home", REDIS_URL=redis_url, LTMC_PROJECT="alone").start().wait()
    with web_of(front.url) as opened:
        yield opened
    front.stop()


def test_t15_the_tools_are_counted(web: httpx.Client) -> None:
    """T15, A30: {tools, count, modules, groups}; the count is the length of the first and the sum of each other."""
    shown = web.get("/tools").json()
    assert set(shown) == {"tools", "count", "modules", "groups"}
    assert shown["count"] == len(shown["tools"]) == sum(shown["modules"].values()) == sum(shown["groups"].values())
    assert (shown["groups"]["core"], shown["groups"]["cache"]) == (25, 3)
    assert shown["groups"]["extra"] == len([tool["name"] for tool in shown["tools"] if tool["group"] == "extra"]) > 0
    for tool in shown["tools"]:
        assert set(tool) == {"name", "description", "module", "group", "inputSchema", "outputSchema", "tiers"}
        Draft202012Validator.check_schema(tool["inputSchema"])
        Draft202012Validator.check_schema(tool["outputSchema"])
        assert tool["module"] in shown["modules"]


def test_the_tools_say_which_tiers_they_need(web: httpx.Client) -> None:
    """M08: so that it is known which suffer when one is away."""
    tiers = {tool["name"]: tool["tiers"] for tool in web.get("/tools").json()["tools"]}
    assert tiers["store_memory"] == ["sqlite", "faiss", "neo4j"]
    assert tiers["job_status"] == []


def test_t16_the_index_lists_what_is_served(web: httpx.Client, make_settings: MakeSettings) -> None:
    """T16: the same paths and methods as the router has, none of them dead."""
    settings = make_settings(REDIS_URL="redis://127.0.0.1:1/0")
    settings.home.mkdir(mode=0o700)
    Keyring.make(settings)
    table: dict[str, set[str]] = {}
    for route in iter_route_contexts(create_app(settings).routes):
        if route.path:
            table.setdefault(route.path, set()).update(route.methods or {"*"})
    listed = {entry["path"]: set(entry["methods"]) for entry in web.get("/").json()["endpoints"]}
    assert listed == table
    assert {"/", "/health", "/metrics", "/tools", "/jobs", "/jsonrpc", "/mcp", "/rq", "/docs", "/queues"} <= set(listed)
    for path, methods in listed.items():
        for method in methods - {"*"}:
            answer = web.request(method, path.format(job_id="none", name="none"), json={} if method == "POST" else None)
            # MCP's other methods are for clients of older protocols, and answer 405 to all others, as it has it.
            assert answer.status_code != 405 or path == "/mcp", (method, path)
            told = answer.json() if answer.status_code == 404 else {}
            assert not told or told["error"]["message"].startswith(("there is no job", "there is no tool")), (
                path,
                told,
            )


def test_t16_every_route_is_described(web: httpx.Client) -> None:
    """T16: /docs has words for each route, and for each tool the schema of its body."""
    described = web.get("/openapi.json").json()["paths"]
    for path, methods in described.items():
        for method, shown in methods.items():
            assert shown.get("summary"), (method, path)
    body = described["/tools/add_todo"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert (body["required"], body["additionalProperties"]) == (["title"], False)
    assert set(described) >= {"/", "/health", "/metrics", "/tools", "/jobs/{job_id}", "/jsonrpc", "/queues"}


def test_t09_a_job_is_followed_to_its_result(web: httpx.Client) -> None:
    """T09: wait=0 answers 202 with a Location at once; following it gives what the call would have given."""
    handle = web.post("/tools/store_memory", params={"project": "rest", "wait": 0}, json=NOTE)
    assert handle.status_code == 202
    job_id = handle.json()["job_id"]
    assert handle.headers["location"] == f"/jobs/{job_id}/result"
    result = web.get(handle.headers["location"], params={"project": "rest", "wait": 30})
    assert result.status_code == 200
    assert (result.json()["version"], result.json()["job_id"]) == (1, job_id)
    shown = web.get(f"/jobs/{job_id}", params={"project": "rest"}).json()
    assert (shown["status"], shown["name"], shown["project"]) == ("finished", "store_memory", "rest")
    gone = web.delete(f"/jobs/{job_id}", params={"project": "rest"}).json()
    assert (gone["cancelled"], gone["status"]) == (False, "finished")
    listed = web.get("/jobs", params={"project": "rest", "limit": 1, "status": "finished", "queue": "default"}).json()
    assert [job["id"] for job in listed["jobs"]] == [job_id]
    at_once = web.post("/tools/store_memory", params={"project": "rest", "wait": 30}, json=NOTE)
    assert (at_once.status_code, at_once.json()["version"]) == (200, 1)


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("POST", "/tools/nothing", 404, "unknown_method"),
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/tools/store_memory", 405, "invalid_call"),
        ("PUT", "/jobs", 405, "invalid_call"),
        ("GET", "/jobs/01a1fd74-0000-7000-8000-000000000000", 404, "not_found"),
        ("GET", "/jobs/01a1fd74-0000-7000-8000-000000000000/result", 404, "not_found"),
        ("DELETE", "/jobs/01a1fd74-0000-7000-8000-000000000000", 404, "not_found"),
        ("GET", "/jobs/a:dependents/result", 422, "invalid_arguments"),
        ("GET", "/jobs/a%2F..%2Fb", 404, "not_found"),
        ("GET", "/jobs?status=asleep", 422, "invalid_arguments"),
        ("GET", "/jobs?limit=many", 422, "invalid_arguments"),
        ("GET", "/jobs?limit=0", 422, "invalid_arguments"),
        ("GET", "/jobs?project=a/b", 422, "invalid_arguments"),
        ("GET", "/jobs/x/result?wait=NaN", 422, "invalid_arguments"),
        ("POST", "/tools/job_list?wait=inf", 422, "invalid_arguments"),
    ],
)
def test_errors_have_a_status_a_code_and_an_id(
    platform: Platform, web: httpx.Client, method: str, path: str, status: int, code: str
) -> None:
    """T11, T15: one form for all of them, and the log has the id."""
    answer = web.request(method, path, headers={"X-Request-ID": f"rest-{code}-{status}"})
    assert answer.status_code == status
    assert answer.json()["success"] is False
    assert answer.json()["error"]["code"] == code
    assert answer.json()["error"]["id"] == answer.headers["x-request-id"] == f"rest-{code}-{status}"
    assert any(line.get("request_id") == f"rest-{code}-{status}" for line in logged(platform.home))
    assert ("allow" in answer.headers) is (status == 405)


def test_t06_arguments_are_checked_before_the_handler(web: httpx.Client) -> None:
    """T06: the HTTP side of it: 422, the field by name, no job."""
    for body, field in (({"content": "x"}, "file_name"), ({"file_name": "x", "content": 1}, "content"), ([], "")):
        refused = web.post("/tools/store_memory", params={"project": "t06-rest"}, json=body)
        assert refused.status_code == 422
        assert refused.json()["error"]["details"] == {"field": field}
    assert web.get("/jobs", params={"project": "t06-rest"}).json()["count"] == 0


def test_projects_do_not_see_each_other(web: httpx.Client) -> None:
    """V23: a README.md in each; neither finds, lists, follows or cancels what is the other's."""
    stored: dict[str, dict[str, Any]] = {}
    for project, words in (("p-one", "Alpha speaks of anvils."), ("p-two", "Beta speaks of boats.")):
        note = {"file_name": "README.md", "content": words}
        stored[project] = web.post("/tools/store_memory", params={"project": project, "wait": 30}, json=note).json()
        assert stored[project]["version"] == 1
    for project, other, mine, theirs in (("p-one", "p-two", "anvils", "boats"), ("p-two", "p-one", "boats", "anvils")):
        for query in ("README", mine, theirs):
            call = {"params": {"project": project, "wait": 30}, "json": {"query": query}}
            found = web.post("/tools/retrieve_memory", **call).json()  # type: ignore[arg-type]
            assert not any(theirs in chunk["content"] for chunk in found["retrieved_chunks"]), (project, query)
        headed = web.get(f"/jobs/{stored[project]['job_id']}", headers={"X-LTMC-Project": project})
        assert headed.status_code == 200
        foreign = stored[other]["job_id"]
        for method, path in (("GET", ""), ("GET", "/result"), ("DELETE", "")):
            answer = web.request(method, f"/jobs/{foreign}{path}", params={"project": project})
            unknown = web.request(method, f"/jobs/{foreign[:-1]}g{path}", params={"project": project})
            assert (answer.status_code, unknown.status_code) == (404, 404)
            assert answer.json()["error"]["message"] == unknown.json()["error"]["message"].replace(
                f"{foreign[:-1]}g", foreign
            ), "foreign and unknown look the same"
        listed = web.get("/jobs", params={"project": project}).json()["jobs"]
        assert listed
        assert all(job["project"] == project for job in listed)


def test_without_a_worker_the_handle_comes_at_once_with_the_reason(alone: httpx.Client) -> None:
    """T09: nobody waits for a worker that is not there; the job can be looked at, waited for and cancelled."""
    started = time.monotonic()
    handle = alone.post("/tools/store_memory", json=NOTE)
    assert time.monotonic() - started < 3
    assert handle.status_code == 202
    assert "no worker is running for the default queue" in handle.json()["job"]["reason"]
    job_id = handle.json()["job_id"]
    assert alone.get(f"/jobs/{job_id}").json()["status"] == "queued"
    assert alone.get("/queues").json()["queues"]["default"]["queued"] >= 1
    pending = alone.get(f"/jobs/{job_id}/result")
    assert (pending.status_code, pending.headers["location"]) == (202, f"/jobs/{job_id}/result")
    cancelled = alone.delete(f"/jobs/{job_id}").json()
    assert (cancelled["cancelled"], cancelled["status"]) == (True, "canceled")
    ended = alone.get(f"/jobs/{job_id}/result")
    assert (ended.status_code, ended.json()["error"]["code"]) == (409, "job_cancelled")
    assert set(alone.get("/health").json()["queues_without_worker"]) == {queue.value for queue in Queue}


def test_t09_health_answers_while_calls_wait(alone: httpx.Client) -> None:
    """T09: forty calls wait five seconds each for a job that does not end, and /health takes < 100 ms at p99."""
    job_id = alone.post("/tools/store_memory", json=NOTE).json()["job_id"]
    took: list[float] = []
    with ThreadPoolExecutor(40) as pool:
        began = time.monotonic()
        waiting = [pool.submit(alone.get, f"/jobs/{job_id}/result?wait=5") for _ in range(40)]
        while not all(call.done() for call in waiting):
            started = time.monotonic()
            assert alone.get("/health").status_code == 200
            took.append(time.monotonic() - started)
        lasted = time.monotonic() - began
        assert {call.result().status_code for call in waiting} == {202}
    alone.delete(f"/jobs/{job_id}")
    assert 5 <= lasted < 8
    assert len(took) > 200
    assert sorted(took)[int(len(took) * 0.99)] < 0.1


def test_what_a_call_says_beside_its_arguments_counts_in_every_protocol(web: httpx.Client) -> None:
    """T07: project, wait and idempotency key, in `_meta` of JSON-RPC and in REST's own headers."""
    params = {
        "name": "store_memory",
        "arguments": NOTE,
        "_meta": {"ltmc/project": "meta", "ltmc/idempotencyKey": "once", "ltmc/wait": 20, "ltmc/agent": "a-1"},
    }
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    first, again = (web.post("/jsonrpc", json=body).json()["result"] for _ in range(2))
    assert first["job_id"] == again["job_id"]
    assert web.get(f"/jobs/{first['job_id']}?project=meta").json()["project"] == "meta"
    key = {"Idempotency-Key": "once", "X-LTMC-Project": "meta", "X-LTMC-Agent": "a-1"}
    over_rest = [web.post("/tools/store_memory", json=NOTE, headers=key).json()["job_id"] for _ in range(2)]
    assert over_rest == [first["job_id"]] * 2, "the same agent, tool, arguments and key: the same job"
    refused = web.post("/jsonrpc", json=body | {"params": params | {"_meta": {"ltmc/wait": "long"}}}).json()
    assert (refused["error"]["code"], refused["error"]["data"]["details"]["field"]) == (-32602, "_meta.ltmc/wait")
    odd = web.post("/tools/store_memory", json=NOTE | {"file_name": "a\x00b"})
    assert (odd.status_code, odd.json()["error"]["details"]["field"]) == (422, "file_name")


def test_what_no_list_shows_can_be_called_by_its_older_name(web: httpx.Client) -> None:
    """Q05: as in JSON-RPC and MCP; a name that nothing has is unknown."""
    answer = web.post("/tools/get_context_usage_statistics_tool", params={"project": "rest", "wait": 30}, json={})
    assert (answer.status_code, answer.json()["success"]) == (200, True)
    assert "total_context_links" in answer.json()["statistics"]
    assert web.post("/tools/get_context_usage_statistics_tools", json={}).status_code == 404


@pytest.mark.parametrize(
    ("headers", "params", "field"),
    [
        ({"X-LTMC-Project": "no/such"}, {}, "project"),
        ({"X-LTMC-Project": "no/such"}, {"project": "rest"}, "project"),
        ({"Idempotency-Key": "k" * 257}, {}, "Idempotency-Key"),
        ({"Idempotency-Key": ""}, {}, "Idempotency-Key"),
        ({}, {"priority": "soon"}, "priority"),
        ({}, {"ttl_ms": "0"}, "ttl_ms"),
    ],
)
def test_x07_what_is_said_beside_the_arguments_is_checked_too(
    web: httpx.Client, headers: dict[str, str], params: dict[str, str], field: str
) -> None:
    """X07: none of it is passed over because something else was said."""
    refused = web.post("/tools/add_todo", headers=headers, params=params, json={"title": "Never noted"})
    assert (refused.status_code, refused.json()["error"]["details"]["field"]) == (422, field)
