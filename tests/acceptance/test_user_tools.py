"""The user's own tools on a platform started with LTMC_TOOLS: every way in, every executor, what a mistake costs."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from mcp import Client as McpClient
from mcp import StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from rq.job import Job as RqJob
from rq.serializers import JSONSerializer

from tests.acceptance.conftest import ROOT, Platform
from tests.acceptance.front import redis_of, samples, web_of
from tests.conftest import wait_until

EXAMPLE = ROOT / "examples" / "mytools.py"
MINE = '''
"""Tools of every kind."""
import os
import threading
from dataclasses import dataclass
from datetime import date

from ltmc_jobs import Cache, tool
from ltmc_jobs.errors import NotFound

NOTES = os.path.join(os.path.dirname(__file__), "notes.txt")
print("printed while it is imported")


@dataclass
class Note:
    text: str
    day: date


@tool(changes=("notes",))
def write_note(text: str) -> int:
    """Write a note down."""
    with open(NOTES, "a") as notes:
        return notes.write(text + "\\n")


@tool(cache=Cache(topics=("notes",)))
def read_notes() -> list[str]:
    """Read all notes."""
    with open(NOTES) as notes:
        return notes.read().splitlines()


@tool
def dated(text: str, day: date) -> Note:
    """Give a text its day."""
    assert isinstance(day, date)
    return Note(text, day)


@tool(executor="process")
def apart(services) -> dict[str, int | str]:
    """Run in a process of its own."""
    return {"pid": os.getpid(), "parent": os.getppid(), "project": services.current.project}


@tool
async def in_the_loop(json: str) -> str:
    """Run on the event loop."""
    return json


@tool(executor="thread")
def on_a_thread() -> bool:
    """Run on a thread."""
    return threading.current_thread() is not threading.main_thread()


@tool
def missing(name: str) -> str:
    """Fail as a tool of ours does."""
    raise NotFound(f"there is no {name}")


@tool
def untrue() -> int:
    """Give what it does not say."""
    return "a text"


@tool
def silent(text: str) -> str:
    return text


@tool
def retrieve_memory(query: str) -> str:
    """Take another's name."""
    return query
'''
BROKEN = {
    "unfinished.py": "from ltmc_jobs import tool\n\n@tool\ndef half(:\n",
    "wanting.py": "import a_module_that_nobody_has\n",
    "deadly.py": "import os\nos._exit(9)\n",
}
MISTAKES = [
    "odd_tools_of_mine.py:72: odd_tools_of_mine.silent needs a docstring",
    "odd_tools_of_mine.py:77: retrieve_memory is declared twice: as ltmc_jobs.tools.memory.retrieve_memory",
    "unfinished.py:4: SyntaxError: invalid syntax",
    "wanting.py:1: ModuleNotFoundError: No module named 'a_module_that_nobody_has'",
    "deadly.py: its import ended the process that tried it (exit code 9)",
    "gone.py: there is no such file",
]


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Platform, str]]:
    """A platform with the example, tools of every kind, and files that cannot be used; what its start printed."""
    folder = tmp_path_factory.mktemp("mine")
    shutil.copy(EXAMPLE, folder)
    (folder / "odd_tools_of_mine.py").write_text(MINE.lstrip())
    for name, text in BROKEN.items():
        (folder / name).write_text(text)
    names = ["mytools.py", "odd_tools_of_mine.py", *BROKEN, "gone.py"]
    platform = Platform.at(folder / "home", LTMC_TOOLS=", ".join(names), LTMC_WORKERS=1)
    said = platform.workers("start", "--detach")  # in the folder: the names are relative to it
    del platform.env["LTMC_TOOLS"]  # from here on it is the running platform that says what there is
    yield platform, said.stdout
    platform.workers("stop")


@pytest.fixture(scope="module")
def web(started: tuple[Platform, str]) -> Iterator[httpx.Client]:
    with web_of(started[0].url) as opened:
        yield opened


def test_the_page_shows_the_example() -> None:
    """Q06: docs/your-tools.md has the file that the tests run."""
    code = EXAMPLE.read_text().partition("\n\n")[2]
    assert code in (ROOT / "docs" / "your-tools.md").read_text()


TEXT = {"text": "to be or not to be", "most": 1}
COUNTED = {"to": 2}


def test_a_tool_of_ones_own_is_called_over_rest_and_json_rpc(web: httpx.Client) -> None:
    """Its arguments are checked as those of any tool."""
    said = web.post("/tools/frequent_words", json=TEXT).json()
    assert said.pop("job_id")
    assert said == {"success": True, **COUNTED}
    called = {"name": "frequent_words", "arguments": TEXT}
    asked = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": called}
    assert COUNTED.items() <= web.post("/jsonrpc", json=asked).json()["result"].items()
    refused = web.post("/tools/frequent_words", json={"text": "x", "most": "many"})
    assert refused.status_code == 422
    assert refused.json()["error"]["details"] == {"field": "most"}


async def test_a_tool_of_ones_own_is_called_over_mcp(started: tuple[Platform, str]) -> None:
    """Over HTTP, and by a host that knows nothing of LTMC_TOOLS and starts `ltmc mcp`."""
    platform, _ = started
    command = StdioServerParameters(command=sys.executable, args=["-m", "api.cli", "mcp"], env=platform.env)
    for transport in (streamable_http_client(f"{platform.url}/mcp"), stdio_client(command)):
        async with McpClient(transport) as host:
            listed = {tool.name: tool for tool in (await host.list_tools()).tools}
            assert listed["frequent_words"].description == "Count the most frequent words of a text."
            assert "silent" not in listed
            result = await host.call_tool("frequent_words", TEXT)
            assert COUNTED.items() <= (result.structured_content or {}).items()
            wrapped = await host.call_tool("in_the_loop", {"json": "x"})  # an argument may be called so
            assert (wrapped.structured_content or {})["result"] == "x"


def test_a_tool_of_ones_own_is_a_command(started: tuple[Platform, str]) -> None:
    """Without LTMC_TOOLS too, beside a platform that has it."""
    platform, _ = started
    done = platform.ltmc("frequent-words", "to be or not to be", "--most", 1)
    assert done.returncode == 0, done.stderr
    assert COUNTED.items() <= json.loads(done.stdout).items()
    assert "Count the most frequent words" in platform.ltmc("--help").stdout
    same = platform.ltmc("call", "in-the-loop", "--json", "x")
    assert json.loads(same.stdout)["result"] == "x", same.stderr


def test_a_tool_of_ones_own_stands_in_the_docs_the_metrics_and_the_queue(web: httpx.Client) -> None:
    """/docs shows openapi.json; RQ's tools show the function's own path."""
    paths = web.get("/openapi.json").json()["paths"]
    assert paths["/tools/frequent_words"]["post"]["summary"] == "Count the most frequent words of a text."
    assert {tool["module"] for tool in web.get("/tools").json()["tools"]} >= {"mytools", "odd_tools_of_mine"}
    job_id = web.post("/tools/frequent_words", json=TEXT).json()["job_id"]
    assert web.get(f"/jobs/{job_id}").json()["name"] == "frequent_words"
    wait_until(lambda: any("frequent_words" in labels for _, labels in samples(web)), 10, "its metrics")


def test_the_dashboard_shows_the_functions_path(started: tuple[Platform, str], web: httpx.Client) -> None:
    """As rq-dashboard reads it."""
    platform, _ = started
    link = platform.ltmc("dashboard").stdout.strip()
    job_id = web.post("/tools/frequent_words", json=TEXT).json()["job_id"]
    with web_of(platform.url, follow_redirects=True) as browser:
        assert browser.get(link).status_code == 200
        shown: dict[str, Any] = browser.get(f"/rq/0/data/job/{job_id}.json").json()
    assert shown["description"].startswith("frequent_words(")
    with redis_of(platform) as connection:
        assert RqJob.fetch(job_id, connection, serializer=JSONSerializer).func_name == "mytools.frequent_words"


def test_every_executor_runs_them(web: httpx.Client) -> None:
    """And a first parameter `services` is the worker's, any other the caller's."""
    assert web.post("/tools/on_a_thread").json()["result"] is True
    assert web.post("/tools/in_the_loop", json={"json": "x"}).json()["result"] == "x"
    apart = web.post("/tools/apart?wait=45&project=own").json()
    assert apart["pid"] != apart["parent"]
    assert apart["project"] == "own"


def test_types_beyond_json_arrive_and_leave_as_themselves(web: httpx.Client) -> None:
    """A date is one to the function; a result of another type than it says is the job's failure."""
    said = web.post("/tools/dated", json={"text": "landed", "day": "1969-07-20"}).json()
    assert (said["text"], said["day"]) == ("landed", "1969-07-20")
    assert web.post("/tools/dated", json={"text": "landed", "day": "someday"}).status_code == 422
    assert web.post("/tools/untrue").json()["error"]["code"] == "job_failed"
    refused = web.post("/tools/missing", json={"name": "spoon"})
    assert (refused.status_code, refused.json()["error"]["message"]) == (404, "there is no spoon")


def test_their_topics_and_caches_are_like_ours(web: httpx.Client) -> None:
    """What changes a topic makes a cached answer that read it unreachable."""
    web.post("/tools/write_note", json={"text": "one"})
    first = web.post("/tools/read_notes").json()
    again = web.post("/tools/read_notes").json()
    assert (first["result"], again["result"], again.get("cached")) == (["one"], ["one"], True)
    web.post("/tools/write_note", json={"text": "two"})
    assert web.post("/tools/read_notes").json()["result"] == ["one", "two"]


def test_each_mistake_is_told_by_name_and_stops_nothing_else(started: tuple[Platform, str], web: httpx.Client) -> None:
    """At the start, in the log, in /health, by `ltmc tools` and the doctor."""
    platform, said = started
    listed = platform.ltmc("tools")
    doctor = platform.ltmc("doctor", "--json")
    health = web.get("/health").json()
    logged = (platform.home / "logs" / "api.log").read_text()
    component = health["components"]["tools"]
    assert health["status"] == "healthy"  # of what is there nothing suffers
    assert (component["status"], "frequent_words" in component["tools"]) == ("degraded", True)
    problems = " ".join(one["what"] for one in json.loads(doctor.stdout) if one["level"] == "problem")
    for mistake in MISTAKES:
        assert f"{mistake}" in said
        assert mistake in component["error"]
        assert mistake in listed.stderr
        assert mistake in problems
        assert mistake.partition(": ")[2].partition(" (")[0] in logged
    rows = {row["tool"]: row for row in json.loads(listed.stdout)["tools"]}
    assert rows["frequent_words"]["origin"].endswith("mytools.py")
    assert (rows["retrieve_memory"]["origin"], "silent" in rows) == ("built in", False)
    assert "LTMC_TOOLS: left out" in platform.ltmc("silent", "x").stderr


def test_a_worker_that_does_not_know_a_tool_names_the_setting(started: tuple[Platform, str], tmp_path: Path) -> None:
    """A caller that has read another LTMC_TOOLS than the workers."""
    platform, _ = started
    other = tmp_path / "elsewhere.py"
    other.write_text(EXAMPLE.read_text().replace("frequent_words", "rare_words"))
    elsewhere = Platform(platform.env | {"LTMC_TOOLS": str(other)}, platform.url, platform.home)
    done = elsewhere.ltmc("rare-words", "x")
    assert done.returncode == 1
    assert "'rare_words' is not a declared tool" in done.stderr
    assert "LTMC_TOOLS" in done.stderr
