"""Chats: exactly what was said, once a job, newest first, in pages that add up, and found again by words."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ltmc_jobs.errors import InvalidArguments
from ltmc_jobs.results.chat import ChatMessage
from ltmc_jobs.stores.chats_sqlite import SqliteChats
from ltmc_jobs.stores.contracts import Chats
from ltmc_jobs.stores.contracts.page import PAGE_CHARACTERS
from ltmc_jobs.stores.records_sqlite import SqliteRecords
from ltmc_jobs.stores.schema import STEPS


@pytest.fixture(params=["sqlite"])
def chats(request: pytest.FixtureRequest, memory_file: Path) -> Iterator[Chats]:
    opened = {"sqlite": SqliteChats}[request.param](memory_file)
    yield opened
    opened.close()


def say(chats: Chats, content: str, *, project: str = "default", **more: Any) -> ChatMessage:
    """Log a message of a conversation that does not matter."""
    return chats.log(**{"project": project, "conversation_id": "c", "role": "user", "content": content} | more)


def test_a_message_is_kept_exactly(chats: Chats) -> None:
    """A03: conversation, role, content, agent, metadata and tool come back as they were given."""
    given: dict[str, Any] = {
        "conversation_id": "c\n1 'x'",
        "role": "tool",
        "content": "a\x00b \u2028 😀 ' \" %s :now",
        "agent_name": "Ägent",
        "metadata": {"deep": [{"": None}, 1.5, 2**70, True, "é\ud83d"]},
        "source_tool": "my; DROP TABLE todos",
    }
    kept = chats.log(project="default", **given)
    assert {name: getattr(kept, name) for name in given} == given
    assert chats.message(kept.id, project="default") == kept
    assert chats.message(kept.id, project="other") is None
    assert say(chats, "plain").metadata is None
    with pytest.raises(InvalidArguments, match="JSON"):
        say(chats, "x", metadata={"n": float("nan")})


def test_a_job_that_runs_again_logs_nothing_twice(chats: Chats) -> None:
    """A03: a worker may be killed behind its commit; a job of another project is another job."""
    first = say(chats, "once", job_id="j", source_tool="t")
    assert say(chats, "once", job_id="j", source_tool="t") == first
    assert say(chats, "once", job_id="j", project="other", source_tool="t").id != first.id
    assert say(chats, "without a job").id != say(chats, "without a job").id
    assert chats.of_tool("t", project="default", limit=9).total == 1


def test_messages_come_newest_first_and_pages_add_up(chats: Chats, memory_file: Path) -> None:
    """A06: by time, then by id; of one tool, and of one conversation; with a total."""
    made = [say(chats, str(n), source_tool="t", conversation_id=f"c{n % 2}").id for n in range(7)]
    say(chats, "another's", source_tool="T")
    say(chats, "another project's", source_tool="t", project="other")
    with closing(sqlite3.connect(memory_file)) as file, file:
        file.execute("UPDATE chat_history SET timestamp = '2020-01-01T00:00:00' WHERE id IN (?, ?)", made[4:6])
    expected = [made[6], *made[3::-1], made[5], made[4]]
    seen: list[int] = []
    offset: int | None = 0
    while offset is not None:
        page = chats.of_tool("t", project="default", limit=3, offset=offset)
        assert page.total == 7
        seen += [message.id for message in page.items]
        offset = page.next_offset
    assert seen == expected
    one = chats.of_tool("t", project="default", conversation_id="c0", limit=9)
    assert ([message.content for message in one.items], one.total) == (["6", "2", "0", "4"], 4)
    assert chats.of_tool("t", project="default", limit=3, offset=99).next_offset is None
    assert chats.of_tool("nobody", project="default", limit=3).items == []


def test_a_page_of_long_messages_ends_early(chats: Chats) -> None:
    """A06: no answer grows without bound, and every message is reached."""
    for n in range(3):
        say(chats, str(n) * (PAGE_CHARACTERS * (3 if n == 0 else 1) // 2), source_tool="t")
    first = chats.of_tool("t", project="default", limit=3)
    assert ([message.content[0] for message in first.items], first.next_offset) == (["2", "1"], 2)
    last = chats.of_tool("t", project="default", limit=3, offset=2)
    assert ([message.content[0] for message in last.items], last.next_offset) == (["0"], None)


def test_tools_and_their_conversations_are_counted(chats: Chats) -> None:
    """A21, A22: every number equals a recount of the messages; another project's are not there."""
    said = [
        ("a", "c1", "user"),
        ("b", "c1", "assistant"),
        ("a", "c2", "user"),
        ("a", "c1", "system"),
        (None, "c3", "ai"),
    ]
    kept = [say(chats, "x", source_tool=tool, conversation_id=where, role=role) for tool, where, role in said]
    say(chats, "x", source_tool="a", project="other")
    tools = chats.tools(project="default", limit=9)
    assert [(one.identifier, one.messages, one.conversations) for one in tools.items] == [("a", 3, 2), ("b", 1, 1)]
    assert (tools.items[0].first_used, tools.items[0].last_used) == (kept[0].timestamp, kept[3].timestamp)
    assert (tools.total, chats.tool_messages(project="default")) == (2, 4)
    found = chats.conversations("a", project="default", limit=9)
    assert [(one.conversation_id, one.message_count, one.roles) for one in found.items] == [
        ("c1", 2, ["system", "user"]),
        ("c2", 1, ["user"]),
    ]
    assert (found.items[0].started_at, found.items[0].last_activity) == (kept[0].timestamp, kept[3].timestamp)
    second = chats.conversations("a", project="default", limit=1, offset=1)
    assert ([one.conversation_id for one in second.items], second.total, second.next_offset) == (["c2"], 2, None)
    assert [one.identifier for one in chats.tools(project="default", limit=1).items] == ["a"]


def test_messages_are_found_by_their_words(chats: Chats) -> None:
    """A05: whatever the endings, rare words first, within a project and a conversation; nothing is an operator."""
    for text in ("The boats were running late.", "A boat is a boat.", "Nothing of the kind.", "the plan"):
        say(chats, text)
    say(chats, "A boat elsewhere.", conversation_id="other")
    say(chats, "A boat of theirs.", project="other")
    found = chats.search("Which boat runs?", project="default", limit=9)
    assert found[0].message.content == "The boats were running late."
    assert {hit.message.content for hit in found[1:]} == {"A boat is a boat.", "A boat elsewhere."}
    assert [hit.score for hit in found] == sorted((hit.score for hit in found), reverse=True)
    assert found[-1].score > 0
    (one,) = chats.search("boat", project="default", limit=9, conversation_id="other")
    assert one.message.conversation_id == "other"
    assert len(chats.search("boat", project="default", limit=2)) == 2
    for odd in ('"', "boat* OR NEAR(", "content:plan", "AND NOT", "😀", "-", "\x00", ""):
        chats.search(odd, project="default", limit=9)
    assert chats.search("%", project="default", limit=9) == []


def test_an_older_memory_keeps_its_messages_and_finds_them(memory_file: Path) -> None:
    """M01: what was said before there was an index of words is in it."""
    SqliteRecords(memory_file, STEPS[:2]).close()
    with closing(sqlite3.connect(memory_file)) as file, file:
        file.execute(
            "INSERT INTO chat_history (project, conversation_id, role, content, timestamp, metadata) "
            "VALUES ('default', 'c', 'user', 'An old boat.', '2020-01-01T00:00:00+00:00', '{}')"
        )
    with closing(SqliteChats(memory_file)) as chats:
        (found,) = chats.search("boats", project="default", limit=9)
        assert (found.message.content, found.message.metadata) == ("An old boat.", {})
        with closing(sqlite3.connect(memory_file)) as file, file:
            file.execute("UPDATE chat_history SET content = 'An old ship.'")
        assert chats.search("boats", project="default", limit=9) == []
        assert len(chats.search("ships", project="default", limit=9)) == 1
        with closing(sqlite3.connect(memory_file)) as file, file:
            file.execute("DELETE FROM chat_history")
        assert chats.search("ships", project="default", limit=9) == []


def test_many_may_log_at_once(chats: Chats) -> None:
    """A03, A06: nothing is lost, and the newest are those with the highest ids."""
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: say(chats, str(n), source_tool="t", job_id=f"j{n % 40}"), range(80)))
    found = chats.of_tool("t", project="default", limit=99).items
    assert Counter(int(message.content) % 40 for message in found) == Counter(range(40))
    assert [message.id for message in found] == sorted((message.id for message in found), reverse=True)
