"""MCP as hosts meet it: `ltmc mcp` and /mcp as real processes, beside JSON-RPC, over one platform."""

from __future__ import annotations

import json
import re
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
from tests.acceptance.every_tool import ROWS, call_all
from tests.conftest import wait_until

LTMC = ["-m", "api.cli"]
VOLATILE = ("_id", "_ids", "_at")  # how the names of ids and times end
PLACED = ("id", "project", "meta", "reference")  # other names of what stands elsewhere in each project
TIME = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d)")
ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
NUMBERED = re.compile(r"\b(attempt|todo|code_pattern)[ /]\d+")
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


def test_what_cannot_be_read_is_answered(platform: Platform) -> None:
    """Half of a surrogate pair, no JSON, no request: each has an answer, under its id if it has one; calls go on."""
    lines = [
        *map(json.dumps, HANDSHAKE),
        '{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"add_todo","arguments":{"title":"\\ud800"}}}',
        '{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"\\ud800"}}',
        '{"jsonrpc":"2.0","id":3,"method":7}',
        "nonsense",
        '{"jsonrpc":"2.0","id":4,"method":"tools/call","params":{"name":"list_todos"}}',
    ]
    with raw(platform) as host:
        assert host.stdin is not None
        assert host.stdout is not None
        host.stdin.write("".join(f"{line}\n" for line in lines))
        host.stdin.flush()
        told = [json.loads(host.stdout.readline()) for _ in range(5)]
        host.stdin.close()
    answers = {answer["id"]: answer for answer in told}
    assert [answers[given]["error"]["code"] for given in (2, 3, None)] == [-32600, -32600, -32700]
    assert answers[4]["result"]["structuredContent"]["success"] is True


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
    """T07: each with minimal and full arguments; ids and times apart, the answers are equal, and fit the schema."""
    async with McpClient(f"{platform.url}/mcp") as host:
        tools = {tool.name: tool for tool in (await host.list_tools()).tools}
    assert {row.tool for row in ROWS} == set(tools), "each tool has its row in every_tool.py"
    answers: dict[str, list[Any]] = {}
    for transport in ("http", "stdio"):
        async with calls(transport, platform, f"t07-{transport}") as call:
            found = [(row, given, answer) async for row, given, answer in call_all(call)]
        answers[transport] = [plain(answer, kinds_only=row.counts) for row, _, answer in found]
        for row, given, answer in found:
            assert_fits(tools[row.tool], given, answer, row.error)
    for (row, _, _), over_http, over_stdio in zip(found, answers["http"], answers["stdio"], strict=True):
        assert over_http == over_stdio, row.tool


def assert_fits(tool: types.Tool, given: dict[str, Any], answer: dict[str, Any], error: str | None) -> None:
    """What is given and answered is what the tool's schemas say; where it is to fail, it says why."""
    Draft202012Validator(tool.input_schema).validate(given)
    assert (answer.get("error") or {}).get("code") == error, (tool.name, given, answer)
    if error is None:
        assert answer["success"] is True
        Draft202012Validator(tool.output_schema or {}).validate(answer)


def plain(answer: Any, *, kinds_only: bool = False) -> Any:
    """An answer without what differs from call to call: ids, times, and the order of jobs, which may tie."""
    if isinstance(answer, dict):
        shown = {name: plain(value, kinds_only=kinds_only) for name, value in answer.items() if name != "jobs"}
        varies = [name for name in shown if name in PLACED or name.endswith(VOLATILE)]
        kept = shown | {name: type(shown[name]).__name__ for name in varies}
        return kept | {name: sorted(map(repr, plain(answer[name]))) for name in ("jobs",) if name in answer}
    if isinstance(answer, list):
        return "list" if kinds_only else [plain(part) for part in answer]
    if kinds_only or not isinstance(answer, str):
        return type(answer).__name__ if kinds_only else answer
    return NUMBERED.sub(r"\1 N", ID.sub("ID", TIME.sub("TIME", answer)))


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
