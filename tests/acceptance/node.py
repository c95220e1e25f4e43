"""MCP's own programs, which the tests' set-up brings: the conformance suite and the Inspector."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import ROOT, Platform, ltmc_command

PLACE = ROOT / ".venv" / "node" / "node_modules" / "@modelcontextprotocol"
NODE = ROOT / ".venv" / "bin" / "node"
TOOLS = [ROOT / "tests" / "acceptance" / f"conformance_{name}.py" for name in ("tools", "questions")]


def program(package: str) -> list[str]:
    """The command line that runs the program of a package; the test fails where set-up did not bring it."""
    described = PLACE / package / "package.json"
    if not described.exists():
        pytest.fail(f"{described.parent} is missing: run deploy/setup.sh --dev")
    programs = json.loads(described.read_text())["bin"]
    name = programs if isinstance(programs, str) else next(iter(programs.values()))
    return [str(NODE), str(described.parent / name)]


def environment(home: Path) -> dict[str, str]:
    """For a program that is to find no settings of the user's, and to ask no network."""
    kept = {name: value for name, value in os.environ.items() if not name.lower().startswith(("npm_", "http", "mcp"))}
    return kept | {"HOME": str(home), "NO_COLOR": "1", "DO_NOT_TRACK": "1"}


def inspect(platform: Platform, over: str, era: str, *arguments: str) -> tuple[int, Any]:
    """Run the Inspector once: its exit code, and what it printed, as JSON where it is."""
    if over == "http":
        where = ["--server-url", f"{platform.url}/mcp", "--transport", "http"]
        server = []
    else:
        ours = {name: value for name, value in platform.env.items() if os.environ.get(name) != value}
        where = [part for name, value in ours.items() for part in ("-e", f"{name}={value}")]  # it hands no others on
        server = ["--", *ltmc_command(["mcp"])]
    command = [*program("inspector"), "--cli", *where, "--protocol-era", era, "--format", "json", *arguments, *server]
    done = subprocess.run(
        command, env=environment(platform.home), capture_output=True, text=True, timeout=60, check=False
    )
    try:
        return done.returncode, json.loads(done.stdout.splitlines()[0])
    except (ValueError, IndexError):
        return done.returncode, done.stdout + done.stderr
