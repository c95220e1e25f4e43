"""Prompts and completion as a host meets them: built from real memory, in both eras."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import mcp_types as types
import pytest
from mcp import Client as McpClient
from mcp import MCPError

from ltmc_jobs.settings import Settings
from ltmc_jobs.stores import open_store
from ltmc_jobs.stores.contracts import Catalogue
from ltmc_jobs.stores.sqlite_file import SqliteFile
from tests.mcp_server.test_resources import PROJECT, store

CHATTED = """
    INSERT INTO chat_history (project, conversation_id, role, content, timestamp, agent_name)
    VALUES (?, ?, ?, ?, strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), ?)
"""


@pytest.fixture
def project() -> str:
    """A project of the test's own."""
    return f"p-{uuid4().hex[:8]}"


def say(served: Settings, project: str, conversation: str, content: str, agent: str | None = None) -> None:
    """Write a line of a conversation."""
    open_store(Catalogue, served).close()  # it makes the file
    file = SqliteFile(served.records_file)
    with file.writing() as database:
        database.execute(CHATTED, [project, conversation, "assistant" if agent else "user", content, agent])
    file.close()


async def get(host: McpClient, name: str, arguments: dict[str, str], project: str) -> str:
    """The words of a prompt of one message."""
    found = await host.get_prompt(name, arguments, meta={PROJECT: project})
    (message,) = found.messages
    assert message.role == "user"
    assert isinstance(message.content, types.TextContent)
    return message.content.text


async def test_the_prompts_tell_their_arguments(host: McpClient) -> None:
    found = (await host.list_prompts()).prompts
    assert [prompt.name for prompt in found] == ["recall", "summarise_session", "hand_over"]
    told = {a.name: (a.required, bool(a.description)) for prompt in found for a in prompt.arguments or []}
    assert told == dict.fromkeys(("topic", "conversation_id", "to_agent"), (True, True))
    assert all(prompt.description for prompt in found)


async def test_recall_brings_the_passages_with_their_documents(host: McpClient, project: str) -> None:
    resource_id = await store(host, project, "pond.md", "The heron stands in the reeds and waits for a fish.")
    words = await get(host, "recall", {"topic": "heron in the reeds"}, project)
    assert f"[pond.md, ltmc://resource/{resource_id}]\nThe heron stands in the reeds" in words
    assert "are no orders to you" in words
    fence = next(line for line in words.splitlines() if line.startswith("==="))
    assert words.splitlines().count(fence) == 2


async def test_recall_says_that_there_is_nothing(host: McpClient, project: str) -> None:
    assert "has nothing about: ghosts" in await get(host, "recall", {"topic": "ghosts"}, project)


async def test_a_session_is_summarised_from_what_was_said(host: McpClient, project: str, served: Settings) -> None:
    for number in range(210):
        say(served, project, "talk", f"Line {number}. " + "x" * (5000 if number == 205 else 0))
    words = await get(host, "summarise_session", {"conversation_id": "talk"}, project)
    assert "the newest 200 of 210" in words
    assert "user: Line 209." in words
    assert "Line 9." not in words
    assert "x" * 4001 not in words
    assert 'conversation_id="talk"' in words


async def test_a_hand_over_names_who_goes_on_and_what_is_open(host: McpClient, project: str, served: Settings) -> None:
    say(served, project, "talk", "Build the index first.", "ann")
    await store(host, project, "plan.md", "First the index.", conversation_id="talk")
    words = await get(host, "hand_over", {"to_agent": "bob", "conversation_id": "talk"}, project)
    assert "to bob, who has seen nothing" in words
    assert "ann: Build the index first." in words
    assert "plan.md" in words
    assert "Open todos of the project: all 0" in words


@pytest.mark.parametrize(
    ("name", "arguments", "code"),
    [
        ("recall", {}, "invalid_arguments"),
        ("recall", {"topic": "x", "more": "y"}, "invalid_arguments"),
        ("summarise_session", {"conversation_id": "never held"}, "not_found"),
        ("store_memory", {}, None),
    ],
)
async def test_a_wrong_prompt_says_why(
    host: McpClient, project: str, name: str, arguments: dict[str, str], code: str | None
) -> None:
    with pytest.raises(MCPError) as raised:
        await get(host, name, arguments, project)
    assert raised.value.code == types.INVALID_PARAMS
    assert (raised.value.data or {}).get("code") == code


async def complete(host: McpClient, project: str, ref: str, name: str, typed: str) -> types.Completion:
    """What fits; `ref` is a prompt's name or a template."""
    what: Any = (
        types.ResourceTemplateReference(type="ref/resource", uri=ref)
        if "://" in ref
        else types.PromptReference(type="ref/prompt", name=ref)
    )
    params = types.CompleteRequestParams(
        ref=what, argument=types.CompletionArgument(name=name, value=typed), _meta={PROJECT: project}
    )
    return (await host.session.send_request(types.CompleteRequest(params=params), types.CompleteResult)).completion


async def test_completion_knows_what_is_there(host: McpClient, project: str, served: Settings) -> None:
    one = await store(host, project, "alpha.md", "A.", conversation_id="talk-2")
    two = await store(host, project, "of alpha_x.md", "B.")
    say(served, project, "talk-1", "Hello.", "annabel")
    job_id = (await host.call_tool("say", {"text": "x"}, meta={PROJECT: project})).structured_content["job_id"]

    async def names(ref: str, name: str, typed: str) -> list[str]:
        return (await complete(host, project, ref, name, typed)).values

    assert await names("recall", "topic", "ALPHA") == ["alpha.md", "of alpha_x.md"]
    assert await names("recall", "topic", "a_x") == ["of alpha_x.md"]
    assert await names("recall", "topic", "%") == []
    assert await names("summarise_session", "conversation_id", "talk") == ["talk-1", "talk-2"]
    assert await names("hand_over", "to_agent", "bel") == ["annabel"]
    assert await names("ltmc://document/{file_name}", "file_name", "") == ["of alpha_x.md", "alpha.md"]
    assert set(await names("ltmc://resource/{resource_id}", "resource_id", "")) == {str(one), str(two)}
    assert await names("ltmc://job/{job_id}", "job_id", job_id[:-1]) == [job_id]
    assert await names("recall", "unknown", "x") == []
    assert (await complete(host, "elsewhere", "recall", "topic", "alpha")).values == []
    for ref in ("nobody", "ltmc://nowhere/{x}"):
        with pytest.raises(MCPError):
            await names(ref, "x", "")


async def test_completion_says_how_many_more_there_are(host: McpClient, project: str, served: Settings) -> None:
    for number in range(103):
        say(served, project, f"c{number:03}", "Hello.")
    found = await complete(host, project, "summarise_session", "conversation_id", "c")
    assert (len(found.values), found.total, found.has_more) == (100, 103, True)
    assert found.values[0] == "c102"


async def test_agents_at_work_are_completed_too(host: McpClient, project: str) -> None:
    meta = {PROJECT: project, "ltmc/agent": "worker-7"}
    await host.call_tool("say", {"text": "x"}, meta=meta)
    assert (await complete(host, project, "hand_over", "to_agent", "worker")).values == ["worker-7"]
