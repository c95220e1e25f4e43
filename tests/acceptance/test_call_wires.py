"""The light clients of benchmarks.calls get what the SDK's client gets, and take no refusal for an answer."""

from __future__ import annotations

import uuid

import pytest
from mcp import Client as McpClient

from benchmarks.calls_peers.connection import Connection
from benchmarks.calls_peers.load import Taken, Target, put
from benchmarks.calls_peers.wires import Refused, Wire, by_task, over_json_rpc, over_mcp, request
from benchmarks.rows import Rows
from tests.acceptance.conftest import Platform
from tests.acceptance.front import settings_of


def port_of(platform: Platform) -> int:
    return settings_of(platform).http_port


@pytest.mark.parametrize("wire", [over_json_rpc, over_mcp])
async def test_a_call_is_made(platform: Platform, wire: Wire) -> None:
    """What the one noted, the SDK's client finds."""
    title, connection = uuid.uuid4().hex, await Connection.open(port_of(platform))
    await wire(connection, "add_todo", {"title": title})
    async with McpClient(f"{platform.url}/mcp") as host:
        found = await host.call_tool("list_todos", {"limit": 50})
    assert title in [todo["title"] for todo in found.structured_content["todos"]]
    with pytest.raises(Refused, match="no_such_argument"):
        await wire(connection, "add_todo", {"no_such_argument": 1})
    connection.close()


async def test_a_call_that_needs_no_task_is_no_task(platform: Platform) -> None:
    connection = await Connection.open(port_of(platform))
    with pytest.raises(Refused, match="complete"):
        await by_task(0.0)(connection, "add_todo", {"title": "at once"})
    assert (await connection.ask(request("/health")))[0] == 200
    connection.close()


async def test_load_counts_what_it_called(platform: Platform) -> None:
    taken, rows = Taken(), Rows()
    calls = iter(lambda: ("list_todos", {"limit": 7}), None)
    await put(Target("ltmc", port_of(platform), lambda: 0.0), over_json_rpc, calls, 3, 0.2, taken)
    assert (taken.calls, taken.refused) == (len(taken.samples.taken["total"]), 0)
    assert taken.calls > 3
    taken.write(rows, "list_todos", "ltmc")
    assert [row["metric"] for row in rows.rows] == ["p50", "p95", "p99", "calls/s", "CPU per call"]
