"""MCP's official Inspector (the TypeScript client) drives the platform: both transports, every era."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.acceptance.conftest import Platform
from tests.acceptance.node import TOOLS, inspect

ERAS = ["legacy", "modern", "auto"]
WAYS = [(over, era) for over in ("http", "stdio") for era in ERAS]
# A program a call, and over stdio a server a call too: by default, of the second test what differs between eras.
LONG = [("stdio", "legacy"), ("stdio", "modern"), ("stdio", "auto"), ("http", "modern")]


@pytest.fixture(scope="module")
def inspected(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A platform that has tools which are slow, and which fail, too."""
    made = Platform.at(tmp_path_factory.mktemp("inspected") / "home", LTMC_TOOLS=",".join(map(str, TOOLS)))
    made.workers("start", "--detach")
    yield made
    made.workers("stop")


class Inspected:
    """One way to the platform."""

    def __init__(self, platform: Platform, over: str, era: str) -> None:
        self._way = (platform, over, era)

    def run(self, *arguments: str) -> tuple[int, Any]:
        """The exit code and what was printed."""
        return inspect(*self._way, *arguments)

    def call(self, tool: str, **arguments: object) -> tuple[int, Any]:
        """Call a tool."""
        named = ("--tool-name", tool, "--tool-args-json", json.dumps(arguments))
        return self.run("--method", "tools/call", *named)


@pytest.mark.parametrize(("over", "era"), WAYS)
def test_the_inspector_calls_what_is_slow_and_what_fails(inspected: Platform, over: str, era: str) -> None:
    """T05: one that takes its time is waited for; one that fails is exit code 5."""
    way = Inspected(inspected, over, era)
    with ThreadPoolExecutor(2) as two:
        slow = two.submit(way.call, "slow_compute", seconds=1.5, label="late")
        failing = two.submit(way.call, "test_error_handling")
    code, found = slow.result()
    assert (code, found["result"]["content"][0]["text"]) == (0, "computed late")
    code, found = failing.result()
    assert code == 5, found
    assert found["result"]["isError"] is True
    assert "intentionally returns an error" in found["result"]["content"][0]["text"]


@pytest.mark.parametrize(
    ("over", "era"), [pytest.param(*way, marks=[pytest.mark.slow] if way in LONG else []) for way in WAYS]
)
def test_the_inspector_lists_calls_and_reads(inspected: Platform, over: str, era: str) -> None:
    """T05: the list of tools without a fault; a tool, a resource and a prompt."""
    way = Inspected(inspected, over, era)
    with ThreadPoolExecutor(2) as two:
        listed = two.submit(way.run, "--method", "tools/list", "--strict")
        fast = two.submit(way.call, "greet", name="Ann")
        read = two.submit(way.run, "--method", "resources/read", "--uri", "test://static-text")
        asked = two.submit(way.run, "--method", "prompts/get", "--prompt-name", "test_simple_prompt")
    code, found = listed.result()
    assert code == 0, found
    assert {"store_memory", "greet"} <= {tool["name"] for tool in found["result"]["tools"]}
    code, found = fast.result()
    assert (code, found["result"]["content"][0]["text"]) == (0, "Hello, Ann!")
    code, found = read.result()
    assert (code, found["result"]["contents"][0]["text"][:11]) == (0, "This is the")
    code, found = asked.result()
    assert (code, found["result"]["messages"][0]["role"]) == (0, "user")
