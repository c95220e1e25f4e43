"""The chat tools: what is said is kept as given, whoever says it is known, and both call forms are taken."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from ltmc_jobs.errors import InvalidArguments
from ltmc_jobs.services import Services
from tests.tools.calling import Caller, services_without_redis


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    with services_without_redis(tmp_path_factory.mktemp("chat")) as opened:
        yield opened


@pytest.fixture
def call(services: Services) -> Caller:
    """In a project of the test's own."""
    return Caller(services, f"p-{uuid.uuid4().hex}")


def test_what_was_said_comes_back(call: Caller) -> None:
    """A03, A06: every field, the metadata as an object; the job's second run adds nothing."""
    said: dict[str, Any] = {
        "conversation_id": "c",
        "role": "assistant",
        "content": "Hello.",
        "agent_name": "planner",
        "metadata": {"tokens": 3, "tags": ["a", None]},
        "source_tool": "claude-code",
    }
    logged = call("log_chat", job_id="j", **said)
    assert call("log_chat", job_id="j", **said) == logged
    found = call("get_chats_by_tool", source_tool="claude-code")
    assert (found["count"], found["total"], found["next_offset"]) == (1, 1, None)
    assert found["messages"] == [said | {"id": logged["message_id"], "timestamp": logged["timestamp"]}]


def test_roles_are_those_there_are(call: Caller) -> None:
    """A03: an unknown role is an invalid argument, named; without one it is the user's, as older clients mean it."""
    for role in ("user", "assistant", "system", "tool", "ai"):
        call("log_chat", conversation_id="c", content="x", role=role, source_tool="t")
    call("log_chat", conversation_id="c", content="x", source_tool="t")
    roles = [message["role"] for message in call("get_chats_by_tool", tool_name="t")["messages"]]
    assert roles == ["user", "ai", "tool", "system", "assistant", "user"]
    for odd in ("wizard", "", "User", None, 1):
        with pytest.raises(InvalidArguments) as raised:
            call("log_chat", conversation_id="c", content="x", role=odd)
        assert raised.value.details == {"field": "role"}


def test_pages_and_bounds(call: Caller) -> None:
    """A06, A22: limits as published, offsets, totals, the conversation filter."""
    for n in range(4):
        call("log_chat", conversation_id=f"c{n % 2}", content=str(n), source_tool="t")
    page = call("get_chats_by_tool", source_tool="t", limit=2, offset=1)
    assert ([message["content"] for message in page["messages"]], page["total"], page["next_offset"]) == (
        ["2", "1"],
        4,
        3,
    )
    one = call("get_chats_by_tool", source_tool="t", conversation_id="c1")
    assert [message["content"] for message in one["messages"]] == ["3", "1"]
    conversations = call("get_tool_conversations", tool_name="t", limit=1)
    assert [each["conversation_id"] for each in conversations["conversations"]] == ["c1"]
    assert (conversations["count"], conversations["total"], conversations["source_tool"]) == (1, 2, "t")
    for name, limits in {"get_chats_by_tool": (0, 1001), "get_tool_conversations": (0, 201)}.items():
        for limit in (*limits, -1, "many", 10**30):
            with pytest.raises(InvalidArguments) as raised:
                call(name, source_tool="t", limit=limit)
            assert raised.value.details == {"field": "limit"}


@pytest.mark.parametrize(
    ("field", "odd"),
    [
        ("content", ""),
        ("content", None),
        ("content", "x" * 1_000_001),
        ("conversation_id", ""),
        ("conversation_id", "c" * 257),
        ("metadata", []),
        ("metadata", "{}"),
        ("source_tool", ""),
        ("agent_name", 7),
        ("text", "x"),
    ],
)
def test_odd_arguments_are_named(call: Caller, field: str, odd: Any) -> None:
    """T06: before anything is written."""
    with pytest.raises(InvalidArguments) as raised:
        call("log_chat", **({"conversation_id": "c", "content": "x", "source_tool": "t"} | {field: odd}))
    assert raised.value.details == {"field": field}
    assert call("get_chats_by_tool", source_tool="t")["total"] == 0


def test_client_tools_are_told_apart_from_ours(call: Caller) -> None:
    """A21: those that logged, with their counts; the platform's own stand beside them, uncounted without Redis."""
    first = call("log_chat", conversation_id="c", content="x", source_tool="cursor")
    call("log_chat", conversation_id="d", content="x", source_tool="cursor")
    last = call("log_chat", conversation_id="c", content="x", source_tool="my-own")
    call("log_chat", conversation_id="c", content="x")
    found = call("list_tool_identifiers")
    assert [tool["identifier"] for tool in found["tools"]] == ["my-own", "cursor"]
    assert (found["count"], found["total_tools"], found["total_messages"]) == (2, 2, 3)
    assert found["tools"][1]["message_count"] == found["tools"][1]["conversation_count"] == 2
    assert found["tools"][1]["first_used"] == first["timestamp"]
    assert found["tools"][0]["last_used"] == last["timestamp"]
    assert {tool["status"] for tool in found["tools"]} == {"active"}
    assert len(found["standard_identifiers"]) == 12
    assert {"claude-code", "cursor"} <= set(found["standard_identifiers"])
    ours = {tool["name"]: tool for tool in found["registered_tools"]}
    assert ours["log_chat"] == {"name": "log_chat", "module": "chat", "call_count": None}
    second = call("list_tool_identifiers", limit=1, offset=1)
    assert ([tool["identifier"] for tool in second["tools"]], second["total_tools"]) == (["cursor"], 2)
