"""A day's work over HTTP: what was said, what is to be done, what was used, and who calls."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.acceptance.conftest import Platform
from tests.acceptance.front import web_of
from tests.acceptance.test_cli import called, printed
from tests.conftest import wait_until


@pytest.fixture(scope="module")
def web(platform: Platform) -> Iterator[httpx.Client]:
    with web_of(platform.url) as opened:
        yield opened


class Agent:
    """Calls tools over JSON-RPC in a project of its own."""

    def __init__(self, web: httpx.Client, project: str) -> None:
        self._web, self._project = web, project

    def __call__(self, name: str, **arguments: Any) -> dict[str, Any]:
        """The result of `tools/call`."""
        answer = self.answer(name, arguments)
        result: dict[str, Any] = answer["result"]
        assert result["success"] is True
        return result

    def answer(self, name: str, arguments: dict[str, Any]) -> Any:
        params = {"name": name, "arguments": arguments}
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        return self._web.post("/jsonrpc", json=body, params={"project": self._project}).json()


def test_chats_over_http(web: httpx.Client) -> None:
    """A03, A06, A22: kept as given, an unknown role is −32602, older argument names work, a change is seen at once."""
    agent = Agent(web, "work-chats")
    said = {"conversation_id": "c", "role": "assistant", "content": "Hello.", "metadata": {"n": [1]}}
    logged = agent("log_chat", **said, source_tool="cursor", agent_name="planner")
    refused = agent.answer("log_chat", said | {"role": "wizard"})["error"]
    assert (refused["code"], refused["data"]["details"]) == (-32602, {"field": "role"})
    (message,) = agent("get_chats_by_tool", tool_name="cursor")["messages"]
    expected = {"id": logged["message_id"], "timestamp": logged["timestamp"], "source_tool": "cursor"}
    assert message == said | expected | {"agent_name": "planner"}
    assert agent("get_chats_by_tool", source_tool="cursor")["cached"] is True
    agent("log_chat", conversation_id="d", content="More.", source_tool="cursor")
    found = agent("get_tool_conversations", source_tool="cursor")
    assert [(each["conversation_id"], each["roles"]) for each in found["conversations"]] == [
        ("d", ["user"]),
        ("c", ["assistant"]),
    ]
    assert agent("get_chats_by_tool", source_tool="cursor")["total"] == 2


def test_todos_over_http(web: httpx.Client) -> None:
    """A07 to A10: numbers as priorities, one completion, literal wild cards, no stale list; P02: cached meanwhile."""
    agent = Agent(web, "work-todos")
    todo = agent("add_todo", title="Save 50% of it", priority=3)
    assert (todo["todo"]["priority"], todo["todo"]["description"]) == ("high", "")
    assert agent("list_todos", completed=False)["todos"] == [todo["todo"]]
    assert agent("list_todos", status="pending")["cached"] is True
    first = agent("complete_todo", todo_id=todo["todo_id"])
    second = agent("complete_todo", todo_id=todo["todo_id"])
    assert (first["already_completed"], second["already_completed"]) == (False, True)
    assert first["todo"]["completed_at"] == second["todo"]["completed_at"]
    assert agent("list_todos", status="pending")["total"] == 0
    agent("add_todo", title="Save 50 of it", description="soon", priority="low")
    assert [found["title"] for found in agent("search_todos", query="50%")["todos"]] == ["Save 50% of it"]
    missing = agent.answer("complete_todo", {"todo_id": 10**9})["error"]
    assert (missing["code"], missing["data"]["code"]) == (-32002, "not_found")


def test_todos_by_command(platform: Platform) -> None:
    """A07, A08: words and numbers stand there as they are, without quotes."""
    for title, priority in (("Call Ada", "high"), ("Call Bob", 1)):
        printed(called(platform, "add-todo", title, "--priority", priority, "--project", "work-cli"))
    listed = printed(called(platform, "list-todos", "--status", "pending", "--project", "work-cli"))
    assert [(todo["title"], todo["priority"]) for todo in listed["todos"]] == [
        ("Call Bob", "low"),
        ("Call Ada", "high"),
    ]
    refused = called(platform, "add-todo", "x", "--priority", "urgent", "--project", "work-cli")
    assert (refused.returncode != 0, "priority" in refused.stderr) == (True, True)


def test_context_over_http(web: httpx.Client) -> None:
    """A11, A13 to A16: from what was stored to what was used, under the names of stdio too."""
    agent = Agent(web, "work-context")
    chunks = agent("store_memory", file_name="a.md", content="Basalt is a dark stone.")["vector_ids"]
    message = agent("log_chat", conversation_id="c", content="Which stone is dark?")["message_id"]
    linked = agent("store_context_links_tool", message_id=str(message), chunk_ids=chunks, wait_for="linked")
    assert (linked["links_created"], linked["message_id"]) == (1, message)
    (edge,) = agent("query_graph", entity=f"message:{message}")["relationships"]
    assert (edge["relationship_type"], edge["target_id"]) == ("REFERENCES", f"chunk:{chunks[0]}")
    (link,) = agent("get_context_links_for_message", message_id=message)["links"]
    assert (link["chunk_id"], link["content"]) == (chunks[0], "Basalt is a dark stone.")
    assert agent("get_messages_for_chunk", chunk_id=chunks[0])["messages"][0]["message_id"] == message
    assert agent("get_context_usage_statistics")["statistics"]["total_context_links"] == 1
    unknown = agent.answer("store_context_links", {"message_id": message, "chunk_ids": [*chunks, 10**9]})["error"]
    assert unknown["data"]["details"] == {"chunk_ids": [10**9]}
    built = agent("build_context", documents=[{"title": "Stones", "content": link["content"], "score": 1}])
    assert (built["context"], built["documents_included"]) == ("# Stones\nBasalt is a dark stone.", 1)


def test_callers_and_calls_are_counted(web: httpx.Client) -> None:
    """A21: client tools by what they logged; every listed tool with its calls, where they are jobs."""
    agent = Agent(web, "work-tools")
    agent("log_chat", conversation_id="c", content="x", source_tool="zed")
    before = calls(agent)
    for _ in range(3):
        agent("list_todos")  # the first is a job, the others come from the cache
    wait_until(lambda: calls(agent)["list_todos"] >= before["list_todos"] + 3, 20, "the calls are counted")
    found = agent("list_tool_identifiers")
    assert [(tool["identifier"], tool["message_count"]) for tool in found["tools"]] == [("zed", 1)]
    listed = {tool["name"]: tool["module"] for tool in web.get("/tools").json()["tools"]}
    assert {tool["name"]: tool["module"] for tool in found["registered_tools"]} == listed
    assert calls(agent)["job_status"] is None


def calls(agent: Agent) -> dict[str, Any]:
    return {tool["name"]: tool["call_count"] for tool in agent("list_tool_identifiers")["registered_tools"]}
