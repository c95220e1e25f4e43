"""/docs needs nothing but this machine: works offline, and runs no other's script in the front end's origin."""

from __future__ import annotations

import re

import pytest
from starlette.testclient import TestClient

from api.app import create_app
from ltmc_jobs.queues.envelope import Keyring
from tests.conftest import MakeSettings


@pytest.fixture
def web(make_settings: MakeSettings) -> TestClient:
    settings = make_settings(REDIS_ENABLED="false")
    settings.home.mkdir(mode=0o700)
    Keyring.make(settings)
    return TestClient(create_app(settings), base_url="http://localhost:5050", client=("127.0.0.1", 1))


def test_docs_loads_only_what_we_serve(web: TestClient) -> None:
    """Every file that the page names is here, and the page names no address of anybody else's."""
    page = web.get("/docs")
    assert page.status_code == 200
    assert not re.search(r"(?i)(https?:)?//[a-z]", page.text + web.get("/docs/begin.js").text)
    named = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(named) == 4
    for path in named:
        found = web.get(path)
        assert (found.status_code, len(found.content) > 0) == (200, True), path
    assert "SwaggerUIBundle" in web.get("/docs/swagger-ui-bundle.js").text
    assert not re.search(r"url\(\s*[\"']?https?:|@import", web.get("/docs/swagger-ui.css").text)


def test_the_browser_holds_docs_to_our_origin(web: TestClient) -> None:
    policy = dict(part.split(" ", 1) for part in web.get("/docs").headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'self'"
    assert "script-src" not in policy
    assert policy["frame-ancestors"] == "'none'"
    assert not re.search(r"<script[^>]*>[^<]|\son\w+=", web.get("/docs").text), "an inline script would not run"


def test_there_is_no_redoc(web: TestClient) -> None:
    assert web.get("/redoc").status_code == 404
