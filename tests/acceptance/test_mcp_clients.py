"""Both Python clients run the whole list of tools, on both transports: today's, on the old wire too, and 1.30."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from mcp import Client as McpClient
from mcp import StdioServerParameters
from mcp.client.stdio import stdio_client

from tests.acceptance.conftest import ROOT, Platform, ltmc_command
from tests.acceptance.every_tool import ROWS, call_all

OLD = ROOT / ".venv" / "clients" / "mcp-1.30" / "bin" / "python"
EXPECTED = [(row.tool, row.error) for row in ROWS for _ in range(2)]


def begin(platform: Platform, over: str) -> subprocess.Popen[str]:
    """Start the older client, in a project of its own."""
    if not OLD.exists():
        pytest.fail(f"{OLD} is missing: run deploy/setup.sh --dev")
    project = f"old-{over}"
    where = [f"{platform.url}/mcp?project={project}"] if over == "http" else ltmc_command(["mcp", "--project", project])
    command = [str(OLD), "-m", "tests.acceptance.old_client", over, *where]
    environment = {name: value for name, value in platform.env.items() if name != "PYTHONSAFEPATH"}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=environment, cwd=ROOT, stdout=pipe, stderr=pipe, text=True)


@pytest.fixture(scope="module")
def begun(platform: Platform) -> dict[str, subprocess.Popen[str]]:
    """The older client on both transports at once."""
    return {over: begin(platform, over) for over in ("http", "stdio")}


@pytest.mark.parametrize("over", ["http", "stdio"])
def test_the_older_client_calls_every_tool(begun: dict[str, subprocess.Popen[str]], over: str) -> None:
    """T05: mcp 1.30, which checks every result against its schema."""
    told, log = begun[over].communicate(timeout=100)
    assert begun[over].returncode == 0, log[-3000:]
    lines = [json.loads(line) for line in told.splitlines()]
    assert [(line["tool"], line["error"]) for line in lines] == EXPECTED


@pytest.mark.parametrize("over", ["http", "stdio"])
async def test_today_s_client_calls_every_tool_on_the_old_wire(platform: Platform, over: str) -> None:
    """T05: mcp 2.3 by the handshake; by 2026-07-28 T07 drives it."""
    project = f"new-{over}"
    where: Any = f"{platform.url}/mcp?project={project}"
    if over == "stdio":
        _, *arguments = ltmc_command(["mcp", "--project", project])
        where = stdio_client(StdioServerParameters(command=sys.executable, args=arguments, env=platform.env))
    async with McpClient(where, mode="legacy") as host:

        async def call(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
            return dict((await host.call_tool(name, arguments)).structured_content)

        told = [(row.tool, (answer.get("error") or {}).get("code")) async for row, _, answer in call_all(call)]
    assert told == EXPECTED
