"""Y03: one table of errors; each class, raised in a job or the front end, reaches every protocol as the table says."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis import Redis

from api import errors_table
from ltmc_jobs.errors import LtmcError
from tests.acceptance.front import web_of
from tests.conftest import build_settings, clean_environment, free_port, wait_until
from tests.fleet import open_installation
from workers.server import EmbeddedServer

ROOT = Path(__file__).parents[2]
CLASSES = [row.error for row in errors_table.rows()]
# What a caller hears in place of a worker's own words.
VEILED = {"misconfigured": "a worker of this installation is misconfigured; its log and `ltmc doctor` say how"}


@pytest.fixture(scope="module")
def web(redis_server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A front end and a worker that can fail in every way."""
    home = tmp_path_factory.mktemp("erring") / "home"
    given = {"REDIS_URL": redis_server.settings.redis_address(), "HTTP_PORT": free_port(), "PYTHONPATH": ROOT}
    settings = build_settings(home, **given)
    with Redis.from_url(settings.redis_address()) as connection:
        connection.flushall()  # what tests before these left
    shared = open_installation(settings)
    environment = clean_environment(home, **given)
    processes = [
        subprocess.Popen([sys.executable, "-m", "tests.unit.erring", role], env=environment, cwd=ROOT)
        for role in ("api", "worker")
    ]
    with web_of(settings.http_url) as opened:
        try:
            wait_until(lambda: shared.heartbeats.live(["default"])["default"], 30, "a worker")
            wait_until(lambda: answers(opened), 30, "the front end answers")
            yield opened
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                process.wait(15)
            shared.redis.flushall()
            shared.close()


def answers(web: httpx.Client) -> bool:
    try:
        return web.get("/tools").status_code == 200
    except httpx.HTTPError:
        return False


def test_the_page_is_the_table() -> None:
    """docs/errors.md is what `ltmc errors --markdown` prints, and no class is missing in it."""
    written = (ROOT / "docs" / "errors.md").read_text()
    assert written == errors_table.table(), "run `ltmc errors --markdown > docs/errors.md`"
    assert all(f"| `{error.code}` | {error.status} | {error.jsonrpc} |" in written for error in CLASSES)
    assert len({error.code for error in CLASSES}) == len(CLASSES) > 20


def test_the_command_shows_it() -> None:
    said = subprocess.run(
        [sys.executable, "-m", "api.cli", "errors"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert len(said) == len(CLASSES)
    assert all(error.__name__ in line and error.code in line for error, line in zip(CLASSES, said, strict=True))


@pytest.mark.parametrize("tool", ["fail_in_worker", "fail_in_front"])
@pytest.mark.parametrize("error", CLASSES, ids=lambda error: error.code)
def test_each_is_told_alike_in_every_protocol(web: httpx.Client, error: type[LtmcError], tool: str) -> None:
    """Y03: by REST, JSON-RPC and MCP; code, status, number and whether to retry are those of the table."""
    rest = web.post(f"/tools/{tool}", json={"code": error.code})
    assert rest.status_code == error.status
    shown = rest.json()
    assert shown["success"] is False
    number, told = by_jsonrpc(web, tool, {"code": error.code})
    assert number == error.jsonrpc
    words = VEILED.get(error.code, "as told") if tool == "fail_in_worker" else "as told"
    details = {} if words != "as told" else {"details": {"field": "code"}}
    for found in (shown["error"], told, by_mcp(web, tool, {"code": error.code})):
        assert found.pop("id")
        assert found == {"code": error.code, "message": words, "retry": error.retry, **details}


def test_what_nobody_foresaw_says_nothing_of_our_inside(web: httpx.Client) -> None:
    for tool, code in (("fail_in_worker", "job_failed"), ("fail_in_front", "error")):
        answer = web.post(f"/tools/{tool}", json={"code": ""})
        assert (answer.status_code, answer.json()["error"]["code"]) == (500, code)
        assert "inner" not in answer.text
        assert "inner" not in str(by_jsonrpc(web, tool, {"code": ""})) + str(by_mcp(web, tool, {"code": ""}))


def by_jsonrpc(web: httpx.Client, tool: str, arguments: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """The error's number, and the rest of it as REST has it."""
    asked = {"jsonrpc": "2.0", "id": 1, "method": tool, "params": arguments}
    answer = web.post("/jsonrpc", json=asked)
    assert answer.status_code == 200
    error = answer.json()["error"]
    return error["code"], {"message": error["message"], **error["data"]}


def by_mcp(web: httpx.Client, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
    asked = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": arguments}}
    headers = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2025-06-18"}
    answer = web.post("/mcp", json=asked, headers=headers)
    assert answer.status_code == 200, answer.text
    (data,) = [line for line in answer.text.splitlines() if line.startswith("data: {")]
    result = httpx.Response(200, content=data.removeprefix("data: ")).json()["result"]
    assert result["isError"] is True
    error: dict[str, Any] = result["structuredContent"]["error"]
    return error
