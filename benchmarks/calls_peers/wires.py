"""The wires that a tool is called over: JSON-RPC, MCP of 2026-07-28, and MCP's tasks, as bytes of HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from benchmarks.calls_peers.connection import Connection

VERSION = "2026-07-28"
META = "io.modelcontextprotocol"
TASKS = f"{META}/tasks"
FIRST_PAUSE_SECONDS = 0.02  # FastMCP's client: asks at once, then after 20 ms, 40, 80 …

Wire: TypeAlias = Callable[[Connection, str, dict[str, Any]], Awaitable[None]]


class Refused(Exception):
    """The answer is not the tool's result."""


async def over_json_rpc(connection: Connection, tool: str, arguments: dict[str, Any]) -> None:
    """A call to its result."""
    asked = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": arguments}}
    status, answer = await connection.ask(request("/jsonrpc", json.dumps(asked).encode()))
    if status != 200 or "result" not in answer or "job" in answer["result"]:
        raise Refused(f"{tool}: {status} {json.dumps(answer)[:500]}")


async def over_mcp(connection: Connection, tool: str, arguments: dict[str, Any]) -> None:
    """The same over MCP, as a client that knows nothing of tasks calls it."""
    result = await _mcp(connection, "tools/call", tool, {"name": tool, "arguments": arguments}, {})
    if result.get("isError") or "job" in result.get("structuredContent", {}):
        raise Refused(f"{tool}: {json.dumps(result)[:500]}")


def by_task(first_pause_seconds: float) -> Wire:
    """A wire by which a tool becomes a task, that is asked for until it has ended."""

    async def over_tasks(connection: Connection, tool: str, arguments: dict[str, Any]) -> None:
        able: dict[str, Any] = {"extensions": {TASKS: {}}}
        task = await _mcp(connection, "tools/call", tool, {"name": tool, "arguments": arguments}, able)
        if task.get("resultType") != "task":
            raise Refused(f"{tool}: {json.dumps(task)[:500]}")
        pause = first_pause_seconds
        while True:
            told = await _mcp(connection, "tasks/get", task["taskId"], {"taskId": task["taskId"]}, able)
            if told["status"] == "completed":
                return
            if told["status"] != "working":
                raise Refused(f"{tool}: {json.dumps(told)[:500]}")
            if pause:
                await asyncio.sleep(pause)
                pause *= 2

    return over_tasks


async def _mcp(connection: Connection, method: str, name: str, params: dict[str, Any], able: Any) -> dict[str, Any]:
    about = {"protocolVersion": VERSION, "clientInfo": {"name": "benchmark", "version": "1"}}
    meta = {f"{META}/{key}": value for key, value in (about | {"clientCapabilities": able}).items()}
    asked = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params | {"_meta": meta}}
    headers = (
        f"Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: {VERSION}\r\n"
        f"Mcp-Method: {method}\r\nMcp-Name: {name}\r\n"
    )
    status, answer = await connection.ask(request("/mcp", json.dumps(asked).encode(), headers))
    if status != 200 or "result" not in answer:
        raise Refused(f"{name}: {status} {json.dumps(answer)[:500]}")
    result: dict[str, Any] = answer["result"]
    return result


def request(path: str, body: bytes = b"", headers: str = "") -> bytes:
    """A POST of JSON, or a GET where there is no body."""
    kind = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n" if body else ""
    return f"{'POST' if body else 'GET'} {path} HTTP/1.1\r\nHost: localhost\r\n{kind}{headers}\r\n".encode() + body
