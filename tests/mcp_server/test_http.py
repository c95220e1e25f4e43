"""The MCP server over HTTP, as the app mounts it: behind the guard, at a real port."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from mcp import Client as McpClient
from mcp.client.streamable_http import streamable_http_client

from api.mcp import relay
from ltmc_jobs.settings import Settings
from tests.mcp_server.conftest import ERAS, error_of


@pytest.mark.parametrize("era", ERAS)
async def test_http_names_project_agent_and_session(over_http: str, era: str) -> None:
    async with McpClient(f"{over_http}/mcp?project=web", mode=era) as host:
        assert (await host.call_tool("say", {"text": "x"})).structured_content["project"] == "web"
    headers = {"X-LTMC-Project": "head", "X-LTMC-Agent": "ann", "X-LTMC-Session": "s1"}
    async with httpx2.AsyncClient(headers=headers, timeout=20) as web:
        transport = streamable_http_client(f"{over_http}/mcp", http_client=web)
        async with McpClient(transport, mode=era) as host:
            said = (await host.call_tool("say", {"text": "x"})).structured_content
            over = await host.call_tool("say", {"text": "x"}, meta={"ltmc/project": "meta"})
    assert (said["project"], said["agent_id"], said["session_id"]) == ("head", "ann", "s1")
    assert said["principal"] == "local"
    assert over.structured_content["project"] == "meta"


@pytest.mark.parametrize("era", ERAS)
async def test_http_tells_progress_and_errors(over_http: str, era: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "BEAT_SECONDS", 0.1)
    told: list[float] = []

    async def hear(progress: float, *_: Any) -> None:
        told.append(progress)

    async with McpClient(f"{over_http}/mcp", mode=era) as host:
        await host.call_tool("dawdle", {"seconds": 0.5}, progress_callback=hear)
        assert error_of(await host.call_tool("say"))["details"]["field"] == "text"
        assert error_of(await host.call_tool("say", {"text": "x"}, meta={"ltmc/project": "a b"}))
    assert len(told) >= 2


async def test_http_an_error_s_id_is_the_request_s(over_http: str) -> None:
    async with (
        httpx2.AsyncClient(headers={"X-Request-ID": "mine-1"}, timeout=20) as web,
        McpClient(streamable_http_client(f"{over_http}/mcp", http_client=web)) as host,
    ):
        assert error_of(await host.call_tool("say"))["id"] == "mine-1"


async def test_http_opens_no_endless_stream_and_keeps_strangers_out(over_http: str, served: Settings) -> None:
    accept = {"Accept": "application/json, text/event-stream"}
    async with httpx2.AsyncClient(base_url=over_http, headers=accept, timeout=5) as web:
        assert (await web.get("/mcp")).status_code == 405
        asked = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
        assert (await web.post("/mcp", json=asked)).status_code == 200
        assert (await web.post("/mcp", json=asked, headers={"Host": "evil.example"})).status_code == 403
        assert (await web.post("/mcp", json=asked, headers={"Origin": "https://evil.example"})).status_code == 403
        token = {"Authorization": f"Bearer {(served.home / 'token').read_text().strip()}", "Host": "box.lan:5050"}
        assert (await web.post("/mcp", json=asked, headers=token)).status_code == 200
