"""The front end under attack: what it refuses, what its refusals say, and what it goes on doing meanwhile."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from api.security import Guard
from ltmc_jobs import client, registry
from ltmc_jobs.queues.contract import JobSpec
from ltmc_jobs.settings import Settings
from ltmc_jobs.shared import Shared
from tests.acceptance.conftest import Platform
from tests.acceptance.front import LEAKS, Front, logged, redis_of, settings_of, web_of
from workers.server import EmbeddedServer

assert client.tools  # declares them

TOKEN = "a-token-of-the-tests-0123456789"
JOB = "01a1fd74-0000-7000-8000-000000000000"
JSON_TYPE = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def web(platform: Platform) -> Iterator[httpx.Client]:
    with web_of(platform.url) as opened:
        yield opened


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, redis_server: EmbeddedServer) -> Iterator[dict[str, Front]]:
    """APIs that ask for the token: one beyond loopback with the user's, one on loopback with the one it made."""
    address = redis_server.settings.redis_address()
    homes = tmp_path_factory.mktemp("guarded")
    fronts = {
        "beyond": Front(homes / "beyond", REDIS_URL=address, HTTP_HOST="0.0.0.0", LTMC_TOKEN=TOKEN),
        "shared": Front(homes / "shared", REDIS_URL=address, LTMC_REQUIRE_TOKEN="1"),
    }
    for front in fronts.values():
        front.start()
    yield {name: front.wait() for name, front in fronts.items()}
    for front in fronts.values():
        front.stop()


def rpc(method: str, params: Any = None, **more: Any) -> dict[str, Any]:
    return {"json": {"jsonrpc": "2.0", "id": 1, "method": method, "params": params or {}} | more}


def failures() -> list[tuple[str, str, dict[str, Any]]]:
    """Requests that go wrong, each in a way of its own."""
    odd: list[Any] = [None, 1, "x", [], {"a": 1}, "x" * 3000, "'; DROP TABLE x; --", "../../outside", "\x00"]
    made: list[tuple[str, str, dict[str, Any]]] = []
    for value in odd:
        made.append(("POST", "/jsonrpc", rpc("store_memory", {"file_name": value, "colour": value})))
        made.append(("POST", "/jsonrpc", rpc("retrieve_memory", {"query": value, "top_k": 0})))
        made.append(("POST", "/jsonrpc", rpc("tools/call", {"name": value})))
        made.append(("POST", "/tools/job_status", {"json": {"job_id": value, "x": value}}))
        made.append(("POST", "/tools/store_memory", {"json": {"file_name": value}}))
        made.append(("POST", "/jsonrpc", rpc("tools/list", jsonrpc=value)))
    made += [
        ("POST", f"/tools/{name}", {"json": {}}) for name in ("nothing", "__init__", "%2e%2e%2fetc", "store_memory")
    ]
    made += [("GET", f"/jobs/{part}", {}) for part in (JOB, "x%00y", "..%2f..", "a b", JOB + "/result", "*", "%27--")]
    made += [("DELETE", f"/jobs/{JOB}", {}), ("PATCH", "/tools", {}), ("GET", "/.env", {}), ("GET", "/..%2f.git", {})]
    made += [
        ("GET", f"/jobs?{query}", {})
        for query in ("limit=x", "limit=-1", "status=x", "project=..%2fx", "queue=" + "q" * 65)
    ]
    made += [("POST", "/jsonrpc", {"content": body, "headers": JSON_TYPE}) for body in (b"{", b"\xff", b"[" * 99_999)]
    made += [("GET", "/tools", {"headers": headers}) for headers in HOSTILE]
    return made


HOSTILE: list[dict[str, str]] = [
    {"Host": "evil.example"},
    {"Host": "localhost.evil.example"},
    {"Host": "[::1"},
    {"Host": "169.254.169.254"},
    {"Host": ""},
    {"Origin": "http://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://["},
    {"Origin": "http://localhost:1"},
    {"Origin": "http://localhost.evil.example"},
    {"Origin": ""},
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
    {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"},
    {"Forwarded": "for=127.0.0.1"},
    {"X-Forwarded-For": "127.0.0.1"},
    {"X-Forwarded-Port": "5050"},
    {"X-Forwarded-Anything": "x"},
    {"X-Real-IP": "127.0.0.1"},
    {"Via": "1.1 proxy"},
    {"CF-Connecting-IP": "127.0.0.1"},
    {"Authorization": "Bearer wrong"},
    {"Authorization": "Basic dXNlcjpwYXNz"},
]


def test_t11_no_failure_tells_of_our_inside(platform: Platform, web: httpx.Client) -> None:
    """T11: over a hundred provoked failures, none with a trace, path, SQL, address or secret; the log has each id."""
    settings = settings_of(platform)
    secrets = [(platform.home / name).read_text().strip() for name in ("token", "signing.key", "redis/password")]
    answers = [web.request(method, path, **options) for method, path, options in failures()]
    with redis_of(platform) as connection:
        connection.set(f"rq:job:{JOB}", "damaged")
        answers += [web.get(f"/jobs/{JOB}"), web.post("/jsonrpc", **rpc("job_result", {"job_id": JOB}))]
        connection.delete(f"rq:job:{JOB}")
    answers += [web.get(f"/jobs/{job_id}/result?wait=20") for job_id in failed_jobs(settings)]
    assert len(answers) >= 100
    known = {line.get("request_id") for line in logged(platform.home)}
    for answer in answers:
        shown = answer.json()
        error = shown["error"]
        assert "result" not in shown, answer.request
        assert LEAKS.search(re.sub(r"localhost:\d+", "", answer.text)) is None, (answer.request, answer.text)
        assert not any(secret in answer.text for secret in [*secrets, str(platform.home), platform.env["REDIS_PORT"]])
        told = error.get("data", error)["id"]
        assert told == answer.headers["x-request-id"]
        assert told in known, (answer.request, answer.text)


def failed_jobs(settings: Settings) -> list[str]:
    """Jobs that failed in a worker: for arguments that the schema would not have let through."""
    shared = Shared.open(settings)
    wrong: list[dict[str, Any]] = [{}, {"file_name": 5, "content": 5}, {"file_name": "x", "content": None}]
    kind: Any = registry.kind("store_memory")
    made = [shared.queue.enqueue(JobSpec(kind=kind, args=args, project="default")).id for args in wrong]
    assert all(shared.queue.outcome(job_id, 20).error is not None for job_id in made)
    shared.close()
    return made


@pytest.mark.parametrize("headers", HOSTILE, ids=lambda headers: json.dumps(headers)[:40])
def test_others_are_turned_away(web: httpx.Client, headers: dict[str, str]) -> None:
    """T11: other Hosts (DNS rebinding), other Origins, forwarded requests and wrong tokens, on every route alike."""
    call = {"json": {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}}
    status = 401 if "Authorization" in headers else 403
    for method, path, options in (
        ("GET", "/", {}),
        ("GET", "/health", {}),
        ("GET", "/metrics", {}),
        ("GET", "/rq/", {}),
        ("GET", "/docs", {}),
        ("POST", "/jsonrpc", call),
        ("POST", "/mcp", call),
        ("POST", "/tools/job_list", {}),
        ("DELETE", f"/jobs/{JOB}", {}),
    ):
        answer = web.request(method, path, headers=headers, **options)  # type: ignore[arg-type]
        assert answer.status_code == status, (path, answer.text)
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in answer.headers


def test_our_own_pages_and_followed_links_are_served(platform: Platform, web: httpx.Client) -> None:
    """T11: the other side of it: same origin, other names of this machine, a link that somebody follows."""
    port = platform.env["HTTP_PORT"]
    for headers in (
        {"Origin": platform.url, "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"},
        {"Host": f"127.0.0.1:{port}", "Origin": f"http://127.0.0.1:{port}"},
        {"Host": f"[::1]:{port}"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
    ):
        assert web.get("/tools", headers=headers).status_code == 200, headers
    answer = web.get("/tools")
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["content-security-policy"] == "frame-ancestors 'none'"
    assert "server" not in answer.headers


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""]
)
def test_a_form_cannot_call(web: httpx.Client, kind: str) -> None:
    """T11: what a page of another site may send without asking is refused for its type: nothing is stored."""
    note = json.dumps({"file_name": "csrf.md", "content": "x"})
    call = json.dumps(rpc("store_memory", {"file_name": "csrf.md", "content": "x"})["json"])
    for path, body in (("/jsonrpc", call), ("/tools/store_memory", note), ("/mcp", call)):
        answer = web.post(path, params={"project": "csrf"}, content=body, headers={"Content-Type": kind})
        assert (answer.status_code, answer.json()["error"]["code"]) == (415, "wrong_type")
    assert web.get("/jobs", params={"project": "csrf"}).json()["count"] == 0


@pytest.mark.parametrize("name", ["beyond", "shared"])
def test_the_token_is_asked_for(guarded: dict[str, Front], name: str) -> None:
    """T11: beyond loopback, and with LTMC_REQUIRE_TOKEN=1: 401 without detail for all but the token; /health a word."""
    front = guarded[name]
    token = TOKEN if name == "beyond" else front.token
    assert len(token) >= 16
    with web_of(front.url) as web:
        texts = ["", "Bearer", "Bearer x", token, f"Basic {token}", f"Bearer {token[:-1]}", f"Bearer {token}x"]
        offers = [*(text.encode() for text in texts), f"Bearer {token.upper()}".encode(), b"Bearer \xe9"]
        paths = ("/", "/tools", "/jobs", "/metrics", "/docs", "/openapi.json", "/nothing", "/rqfoo", "/healthx")
        bodies = set()
        for offer in offers:
            for path in paths:
                answer = web.get(path, headers={b"Authorization": offer} if offer else {})
                assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer"), (path, offer)
                bodies.add(json.dumps({**answer.json()["error"], "id": ""}))
        assert len(bodies) == 1, "it does not say what was wrong"
        said = web.get("/health").json()
        assert set(said) == {"status", "timestamp"}
        for scheme in ("Bearer", "bearer", "BEARER"):
            assert web.get("/tools", headers={"Authorization": f"{scheme} {token}"}).status_code == 200
        allowed = {"Authorization": f"Bearer {token}"}
        assert "components" in web.get("/health", headers=allowed).json()
        assert web.get("/tools", headers=allowed | {"Host": "elsewhere.example", "Via": "1.1 x"}).status_code == 200
        assert web.get("/rq/").status_code == 503, "its own door, and nobody behind it here"
    assert "compare_digest" in inspect.getsource(Guard._admit), "in constant time"
    assert token not in front.log.read_text()
