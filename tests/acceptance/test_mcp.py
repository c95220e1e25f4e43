"""MCP as hosts meet it: `ltmc mcp` and /mcp as real processes, beside JSON-RPC, over one platform."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias

import httpx
import mcp_types as types
import pytest
from jsonschema import Draft202012Validator
from mcp import Client as McpClient
from mcp import StdioServerParameters
from mcp.client.stdio import stdio_client

from tests.acceptance.conftest import Platform
from tests.conftest import wait_until

LTMC = ["-m", "api.cli"]
VOLATILE = ("_id", "_ids", "_at")  # how the names of ids and times end
ERAS = ["legacy", "auto"]
TRANSPORTS = ["jsonrpc", "http", "stdio"]
Call: TypeAlias = Callable[..., Awaitable[dict[str, Any]]]

HANDSHAKE = [
    {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": {"name": "raw", "version": "1"},
        },
    },
    {"jsonrpc": "2.0", "method": "notifications/initialized"},
]


def stdio(platform: Platform, project: str, log: Any = sys.stderr) -> Any:
    """What a host's configuration says: a command and its environment."""
    command = StdioServerParameters(command=sys.executable, args=[*LTMC, "mcp", "--project", project], env=platform.env)
    return stdio_client(command, errlog=log)


@asynccontextmanager
async def calls(transport: str, platform: Platform, project: str) -> AsyncIterator[Call]:
    """`await call(tool, arguments, wait)`: the structured answer over one of the ways in; `{"error": …}` for one."""
    if transport == "jsonrpc":
        async with httpx.AsyncClient(base_url=platform.url, timeout=60) as web:

            async def call(name: str, arguments: dict[str, Any], wait: float | None = None) -> dict[str, Any]:
                params = {"name": name, "arguments": arguments, "_meta": meta(wait)}
                asked = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
                said = (await web.post("/jsonrpc", params={"project": project}, json=asked)).json()
                return said["result"] if "result" in said else {"error": said["error"]["data"]}

            yield call
    else:
        where = f"{platform.url}/mcp?project={project}" if transport == "http" else stdio(platform, project)
        async with McpClient(where) as host:

            async def call_tool(name: str, arguments: dict[str, Any], wait: float | None = None) -> dict[str, Any]:
                answer: dict[str, Any] = (await host.call_tool(name, arguments, meta=meta(wait))).structured_content
                return answer

            yield call_tool


def meta(wait: float | None) -> Any:
    return {} if wait is None else {"ltmc/wait": wait}


@pytest.mark.parametrize("era", ERAS)
async def test_t05_a_host_lists_calls_and_leaves(platform: Platform, tmp_path: Path, era: str) -> None:
    """T05: an unmodified SDK client, on the old wire (initialize) and the new one."""
    with (tmp_path / "log").open("w+") as log:
        async with McpClient(stdio(platform, f"t05-{era}", log), mode=era) as host:
            assert {"store_memory", "retrieve_memory", "job_result"} <= {
                t.name for t in (await host.list_tools()).tools
            }
            stored = await host.call_tool(
                "store_memory",
                {"file_name": "a.md", "content": "The heron stands in the reeds.", "wait_for": "searchable"},
            )
            assert stored.structured_content["state"] == "searchable"
            found = await host.call_tool("retrieve_memory", {"query": "a bird by the water"})
            assert found.structured_content["retrieved_chunks"][0]["file_name"] == "a.md"
            assert isinstance(found.content[0], types.TextContent)
            assert json.loads(found.content[0].text) == found.structured_content
        log.seek(0)
        assert "Traceback" not in log.read()


def test_t05_stdout_carries_the_protocol_alone(platform: Platform) -> None:
    """T05: each line on standard output is a JSON-RPC message, the logs are on standard error, and EOF ends it."""
    bad = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "store_memory", "arguments": {}}}
    asked = [*HANDSHAKE, bad, {"no": "request"}, {"jsonrpc": "2.0", "id": 3, "method": "tools/list"}]
    lines: list[dict[str, Any]] = []
    with raw(platform) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for message in asked:
            process.stdin.write(json.dumps(message) + "\n")
            process.stdin.flush()
        while not {2, 3} <= {line.get("id") for line in lines}:
            lines.append(json.loads(process.stdout.readline()))
        rest, log = process.communicate(timeout=10)
    assert (rest, process.returncode) == ("", 0)
    assert all(line["jsonrpc"] == "2.0" for line in lines)
    refused = next(line for line in lines if line.get("id") == 2)["result"]["structuredContent"]["error"]
    assert refused["id"] in [json.loads(line).get("request_id") for line in log.splitlines()]


def raw(platform: Platform) -> subprocess.Popen[str]:
    """`ltmc mcp` with pipes for a host."""
    pipe = subprocess.PIPE
    command = [sys.executable, *LTMC, "mcp"]
    return subprocess.Popen(command, env=platform.env, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


async def test_t06_a_missing_argument_is_refused_alike_before_a_job_is_made(platform: Platform) -> None:
    """T06: the same code, field and words over stdio, HTTP and JSON-RPC."""
    refused = []
    for transport in TRANSPORTS:
        async with calls(transport, platform, "t06") as call:
            error = (await call("store_memory", {"content": "no name"}))["error"]
            refused.append((error["code"], error["details"], error["retry"]))
            assert (await call("job_list", {}))["count"] == 0
    assert refused == [("invalid_arguments", {"field": "file_name"}, False)] * 3


async def test_t07_every_tool_answers_alike_over_every_transport(platform: Platform) -> None:
    """T07: each with its schema's minimal and full arguments; ids and times apart, the answers are equal."""
    async with McpClient(f"{platform.url}/mcp") as host:
        tools = (await host.list_tools()).tools
    answers = {}
    for transport in TRANSPORTS:
        async with calls(transport, platform, f"t07-{transport}") as call:
            answers[transport] = [plain(answer) for answer in [a async for a in every_tool(tools, call)]]
    assert len(answers["jsonrpc"]) == 2 * len(tools)
    for name, jsonrpc, http, over_stdio in zip(
        [tool.name for tool in tools for _ in range(2)], *(answers[way] for way in TRANSPORTS), strict=True
    ):
        assert jsonrpc.get("success"), (name, jsonrpc)
        assert jsonrpc == http, name
        assert jsonrpc == over_stdio, name


async def every_tool(tools: list[types.Tool], call: Call) -> AsyncIterator[dict[str, Any]]:
    """The answers to a minimal and a full call of each tool, each made when what went before it is done."""
    job_id = ""
    for tool in tools:
        for full in (False, True):
            arguments = sample(tool.input_schema, job_id, full=full)
            Draft202012Validator(tool.input_schema).validate(arguments)
            answer = await call(tool.name, arguments)
            job_id = job_id or answer.get("job_id", "")
            following = answer.get("jobs", {})
            for left in following.values() if isinstance(following, dict) else ():
                assert "error" not in await call("job_result", {"job_id": left})
            yield answer


def sample(schema: dict[str, Any], job_id: str, *, full: bool) -> dict[str, Any]:
    """Arguments for a schema: what it requires, or all that it has."""
    known = {"job_id": job_id, "queue": "default", "status": "finished", "conversation_id": "talk", "top_k": 3}
    wanted = schema["properties"] if full else schema.get("required", [])
    return {name: known.get(name) or value_of(schema["properties"][name]) for name in wanted}


def value_of(schema: dict[str, Any]) -> Any:
    """A value that a schema admits."""
    if "enum" in schema:
        return schema["enum"][-1]
    if "anyOf" in schema:
        return value_of(schema["anyOf"][0])
    made = {"string": "some words", "integer": 1, "number": 1, "boolean": True, "array": [], "object": {}}
    return made[schema["type"]]


def plain(answer: Any) -> Any:
    """An answer without what differs from call to call: ids, times, and the order of jobs, which may tie."""
    if isinstance(answer, dict):
        shown = {name: plain(value) for name, value in answer.items() if name != "jobs"}
        varies = [name for name in shown if name in ("id", "project", "meta") or name.endswith(VOLATILE)]
        kept = shown | {name: type(shown[name]).__name__ for name in varies}
        return kept | {name: sorted(map(repr, plain(answer[name]))) for name in ("jobs",) if name in answer}
    return [plain(part) for part in answer] if isinstance(answer, list) else answer


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_handle_at_once_and_the_result_later(platform: Platform, transport: str) -> None:
    """A wait of 0 gives the job's handle; job_result then gives what the call would have given."""
    async with calls(transport, platform, f"handle-{transport}") as call:
        arguments = {"file_name": "b.md", "content": "Later."}
        handle = await call("store_memory", arguments, 0)
        assert handle["job"]["tool"] == "store_memory"
        result = await call("job_result", {"job_id": handle["job"]["job_id"]})
        assert (result["success"], result["file_name"], result["version"]) == (True, "b.md", 1)


async def test_a_project_sees_nothing_of_another(platform: Platform) -> None:
    """One host's `--project` is a memory of its own, though the platform is the same."""
    async with calls("stdio", platform, "mine") as call, calls("stdio", platform, "yours") as other:
        job_id = (await call("store_memory", {"file_name": "README.md", "content": "Mine."}))["job_id"]
        assert (await other("retrieve_memory", {"query": "Mine."}))["total_results"] == 0
        assert (await other("job_status", {"job_id": job_id}))["error"]["code"] == "not_found"
        assert (await other("job_list", {}))["jobs"] != (await call("job_list", {}))["jobs"]


def test_ltmc_mcp_starts_the_platform_when_none_runs(own_platform: Callable[..., Platform]) -> None:
    """Two hosts at once: one starts it, the other waits; stdout stays the protocol's, and the platform goes on."""
    idle = own_platform()
    asked = "".join(json.dumps(message) + "\n" for message in HANDSHAKE)
    with raw(idle) as first, raw(idle) as second:
        for host in (first, second):
            assert host.stdin is not None
            host.stdin.write(asked)
            host.stdin.flush()
        for host in (first, second):
            assert host.stdout is not None
            line = host.stdout.readline()
            rest, log = host.communicate(timeout=10)
            assert (rest, host.returncode) == ("", 0), log
            assert json.loads(line)["result"]["serverInfo"]["name"] == "ltmc"
    wait_until(lambda: httpx.get(f"{idle.url}/health").json()["status"] == "healthy")


def test_a_platform_that_cannot_start_is_one_line(own_platform: Callable[..., Platform]) -> None:
    """Exit code 1, nothing on stdout, and the last line on stderr says what is wrong."""
    done = own_platform(REDIS_URL="redis://127.0.0.1:1/0").ltmc("mcp")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1].startswith("ltmc mcp: ")
    assert "Traceback" not in done.stderr
