"""Pages of other origins: none may call, but those that are named, and never all of them with this machine's rights."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from starlette.testclient import TestClient

from api.app import create_app
from ltmc_jobs.errors import Misconfigured
from ltmc_jobs.queues.envelope import Keyring
from ltmc_jobs.settings import Settings
from tests.acceptance.front import Front
from tests.conftest import MakeSettings

OURS, OTHERS = "https://app.example", "https://evil.example"
TOKEN = "a-token-of-the-tests-0123456789"
ASKED = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization, content-type"}
CALL = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}


@pytest.fixture
def web_of(make_settings: MakeSettings) -> Callable[..., TestClient]:
    """`web_of(LTMC_ALLOWED_ORIGINS=…)`: the application, asked as a direct local caller asks it."""

    def make(**variables: object) -> TestClient:
        settings = prepared(make_settings(REDIS_ENABLED="false", **variables))
        return TestClient(create_app(settings), base_url="http://localhost:5050", client=("127.0.0.1", 1))

    return make


def prepared(settings: Settings) -> Settings:
    settings.home.mkdir(mode=0o700, exist_ok=True)
    Keyring.make(settings)
    return settings


def cross_origin(headers: object) -> dict[str, str]:
    """Those of the headers that tell a browser what it may do."""
    return {name: value for name, value in dict(headers).items() if name.startswith("access-control-")}  # type: ignore[call-overload]


def test_t10_by_default_no_other_origin_may_call(web_of: Callable[..., TestClient]) -> None:
    """T10: no cross-origin header on any answer, and the call is refused before any tool hears of it."""
    web = web_of()
    for method, path in (("POST", "/jsonrpc"), ("GET", "/tools"), ("GET", "/health"), ("GET", "/nothing")):
        answer = web.request(method, path, headers={"Origin": OURS}, json=CALL if method == "POST" else None)
        assert answer.status_code == 403
        assert cross_origin(answer.headers) == {}
    preflight = web.options("/jsonrpc", headers={"Origin": OURS} | ASKED)
    assert preflight.status_code >= 400
    assert cross_origin(preflight.headers) == {}


def test_t10_the_named_origins_may_call_and_no_others(web_of: Callable[..., TestClient]) -> None:
    """T10: exactly those, by scheme, host and port; cookies are never asked for; answers vary by origin."""
    web = web_of(LTMC_ALLOWED_ORIGINS=f"{OURS}, http://localhost:3000")
    for origin in (OURS, "http://localhost:3000"):
        preflight = web.options("/jsonrpc", headers={"Origin": origin} | ASKED)
        assert preflight.status_code == 200
        assert preflight.headers["access-control-allow-origin"] == origin
        assert "POST" in preflight.headers["access-control-allow-methods"]
        assert "authorization" in preflight.headers["access-control-allow-headers"]
        answer = web.post("/jsonrpc", json=CALL, headers={"Origin": origin})
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == origin
        assert "Location" in answer.headers["access-control-expose-headers"]
        assert "origin" in answer.headers["vary"].lower()
        assert "access-control-allow-credentials" not in {**preflight.headers, **answer.headers}
    near = ("https://app.example.evil.example", "http://app.example", f"{OURS}:444", "null", OTHERS, "http://localhost")
    for origin in near:
        preflight = web.options("/jsonrpc", headers={"Origin": origin} | ASKED)
        answer = web.post("/jsonrpc", json=CALL, headers={"Origin": origin})
        assert preflight.status_code == 400
        assert answer.status_code == 403
        assert "access-control-allow-origin" not in {**preflight.headers, **answer.headers}, origin


def test_t10_every_origin_is_refused_where_no_token_is_asked_for(make_settings: MakeSettings) -> None:
    """T10: any origin together with the rights of this machine does not start; one line says why, and what helps."""
    settings = make_settings(REDIS_ENABLED="false", LTMC_ALLOWED_ORIGINS=f"{OURS},*")
    with pytest.raises(Misconfigured, match=r"every website.*LTMC_REQUIRE_TOKEN=1"):
        create_app(prepared(settings))
    front = Front(settings.home, REDIS_ENABLED="false", LTMC_ALLOWED_ORIGINS="*").start()
    assert front.process is not None
    assert front.process.wait(30) == 2
    (line,) = front.log.read_text().splitlines()
    assert line.startswith("misconfigured: LTMC_ALLOWED_ORIGINS=*")


def test_t10_with_the_token_every_origin_can_be_allowed(web_of: Callable[..., TestClient]) -> None:
    """T10: who has the token is let in, from anywhere; who has not is refused, and no cookie is ever taken."""
    web = web_of(LTMC_ALLOWED_ORIGINS="*", LTMC_REQUIRE_TOKEN="1", LTMC_TOKEN=TOKEN)
    preflight = web.options("/jsonrpc", headers={"Origin": OTHERS} | ASKED)
    assert (preflight.status_code, preflight.headers["access-control-allow-origin"]) == (200, "*")
    known = {"Origin": OTHERS, "Authorization": f"Bearer {TOKEN}"}
    answer = web.post("/jsonrpc", json=CALL, headers=known)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, "*")
    assert "access-control-allow-credentials" not in {**preflight.headers, **answer.headers}
    assert web.post("/jsonrpc", json=CALL, headers={"Origin": OTHERS}).status_code == 401


@pytest.mark.parametrize(
    "wrong",
    [
        "app.example",
        f"{OURS}/",
        f"{OURS}/path",
        "null",
        "https://",
        "https://a b:x",
        "https://*.example",
        "HTTPS://app.example",
    ],
)
def test_t10_what_is_no_origin_is_said_to_be_none(make_settings: MakeSettings, wrong: str) -> None:
    """T10: else it would never match, and nobody would know why."""
    with pytest.raises(Misconfigured, match="is no origin"):
        create_app(prepared(make_settings(REDIS_ENABLED="false", LTMC_ALLOWED_ORIGINS=wrong)))
