"""A client that says just what a test has it say: one POST a request, in either era, with what it declares."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import httpx2

MODERN, OLD = "2026-07-28", "2025-11-25"
TASKS = {"extensions": {"io.modelcontextprotocol/tasks": {}}}
META = "io.modelcontextprotocol/"
NAMED = {"tools/call": "name", "tasks/get": "taskId", "tasks/update": "taskId", "tasks/cancel": "taskId"}


@dataclass
class Wire:
    """Over HTTP to a base address; `capabilities` are declared with each request of the modern era."""

    url: str
    era: str = MODERN
    capabilities: dict[str, Any] = field(default_factory=lambda: dict(TASKS))
    project: str = "default"
    _ids: Any = field(default_factory=count)

    async def ask(self, method: str, params: dict[str, Any] | None = None, **headers: str) -> dict[str, Any]:
        """The response message."""
        async with self.asked(method, params, **headers) as messages:
            return [message async for message in messages][-1]

    async def result(self, method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
        """The result of a request that goes well."""
        answer = await self.ask(method, params)
        assert "result" in answer, answer
        found: dict[str, Any] = answer["result"]
        return found

    async def error(self, method: str, params: dict[str, Any] | None = None, **headers: str) -> dict[str, Any]:
        """The error of one that does not."""
        answer = await self.ask(method, params, **headers)
        assert "error" in answer, answer
        found: dict[str, Any] = answer["error"]
        return found

    async def call(self, tool: str, arguments: dict[str, Any] | None = None, **meta: Any) -> dict[str, Any]:
        """The result of a tool's call, whatever its kind."""
        params = {"name": tool, "arguments": arguments or {}, "_meta": {f"ltmc/{key}": meta[key] for key in meta}}
        return await self.result("tools/call", params)

    @asynccontextmanager
    async def asked(
        self, method: str, params: dict[str, Any] | None = None, **headers: str
    ) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        """The messages that come back, as they come; leaving ends the connection."""
        given = dict(params or {})
        sent = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": self.era}
        if self.era == MODERN:
            given["_meta"] = {
                f"{META}protocolVersion": MODERN,
                f"{META}clientCapabilities": self.capabilities,
                f"{META}clientInfo": {"name": "wire", "version": "1"},
            } | given.get("_meta", {})
            sent["Mcp-Method"] = method
            if method in NAMED:
                sent["Mcp-Name"] = str(given.get(NAMED[method]))
        sent |= headers
        body = {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": given}
        async with (
            httpx2.AsyncClient(timeout=30, trust_env=False) as web,
            web.stream("POST", f"{self.url}/mcp?project={self.project}", json=body, headers=sent) as response,
        ):
            yield _messages(response)


async def _messages(response: httpx2.Response) -> AsyncIterator[dict[str, Any]]:
    if response.headers.get("content-type", "").startswith("text/event-stream"):
        async for line in response.aiter_lines():
            if line.startswith("data:") and line[5:].strip():
                yield json.loads(line[5:])
    else:
        yield json.loads(await response.aread())
