"""Links: each once, all or none, told by what is missing, and gone with what they join."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ltmc_jobs.errors import NotFound
from ltmc_jobs.stores.chats_sqlite import SqliteChats
from ltmc_jobs.stores.contracts import Chats, Links
from ltmc_jobs.stores.contracts.page import PAGE_CHARACTERS
from ltmc_jobs.stores.links_sqlite import SqliteLinks
from tests.contracts.conftest import Writer

TEXT = "one\ntwo\nthree\n"


@pytest.fixture(params=["sqlite"])
def links(request: pytest.FixtureRequest, memory_file: Path) -> Iterator[Links]:
    opened = {"sqlite": SqliteLinks}[request.param](memory_file)
    yield opened
    opened.close()


@pytest.fixture
def chats(memory_file: Path) -> Iterator[Chats]:
    opened = SqliteChats(memory_file)
    yield opened
    opened.close()


def say(chats: Chats, content: str, *, project: str = "default") -> int:
    return chats.log(project=project, conversation_id="c", role="user", content=content).id


def test_links_are_made_once(links: Links, chats: Chats, writer: Writer) -> None:
    """A13: again, and with repeated ids, nothing is added; a job that runs again says what it said."""
    one, two, three = writer.store("a.md", TEXT).chunk_ids
    message = say(chats, "hello")
    assert links.add(message, [two, one, two], project="default", job_id="a") == 2
    assert links.add(message, [two, one, two], project="default", job_id="a") == 2
    assert links.add(message, [one, two], project="default", job_id="b") == 0
    assert links.add(message, [one, three], project="default") == 1
    assert links.add(message, [], project="default") == 0
    found = links.of_message(message, project="default", limit=9)
    assert [(link.chunk_id, link.content) for link in found.items] == [
        (two, "two\n"),
        (one, "one\n"),
        (three, "three\n"),
    ]
    assert {(link.message_id, link.file_name) for link in found.items} == {(message, "a.md")}
    assert (found.items[0].chunk_index, found.total) == (1, 3)


def test_all_or_none_and_the_unknown_are_listed(links: Links, chats: Chats, writer: Writer) -> None:
    """A13: what is not there is named, another project's like what never was; then nothing is linked."""
    (known,) = writer.store("a.md", "one\n").chunk_ids
    (foreign,) = writer.store("a.md", "one\n", project="other").chunk_ids
    message, theirs = say(chats, "ours"), say(chats, "theirs", project="other")
    with pytest.raises(NotFound, match=f"Chunks with ids {foreign}, 999 do not exist") as raised:
        links.add(message, [known, foreign, 999], project="default")
    assert raised.value.details == {"chunk_ids": [foreign, 999]}
    with pytest.raises(NotFound, match="Chunk with id 999 does not exist"):
        links.add(message, [999], project="default")
    for number in (theirs, 999):
        with pytest.raises(NotFound, match=f"Message with id {number} does not exist") as raised:
            links.add(number, [known, 998], project="default")
        assert raised.value.details == {"message_id": number, "chunk_ids": [998]}
    with pytest.raises(NotFound) as raised:
        links.add(message, range(10_000, 10_900), project="default")
    assert len(str(raised.value)) < 200
    assert len(raised.value.details["chunk_ids"]) == 900
    assert links.statistics(project="default").total_context_links == 0


def test_a_message_without_links_has_none_and_an_unknown_one_is_not_there(links: Links, chats: Chats) -> None:
    """A14: empty, and not found."""
    message = say(chats, "hello")
    assert links.of_message(message, project="default", limit=9).items == []
    for number, project in ((message, "other"), (message + 1, "default")):
        with pytest.raises(NotFound, match=f"Message with id {number}"):
            links.of_message(number, project=project, limit=9)


def test_the_messages_of_a_chunk_come_once_and_newest_first(links: Links, chats: Chats, writer: Writer) -> None:
    """A15: in whatever order they were linked, and in pages that add up."""
    one, other = writer.store("a.md", "one\ntwo\n").chunk_ids
    messages = [say(chats, f"{n} {'x' * 100}") for n in range(4)]
    for message in (messages[2], messages[0], messages[3], messages[0]):
        links.add(message, [one, other], project="default")
    found = links.of_chunk(one, project="default", limit=9)
    assert [message.message_id for message in found.items] == [messages[3], messages[2], messages[0]]
    assert (found.items[0].content[:2], found.items[0].role, found.total) == ("3 ", "user", 3)
    second = links.of_chunk(one, project="default", limit=2, offset=2)
    assert ([message.message_id for message in second.items], second.next_offset) == ([messages[0]], None)
    for number, project in ((one, "other"), (999, "default")):
        with pytest.raises(NotFound, match=f"Chunk with id {number} does not exist"):
            links.of_chunk(number, project=project, limit=9)


def test_a_page_of_a_chunks_long_messages_ends_early(links: Links, chats: Chats, writer: Writer) -> None:
    """A15: no answer grows without bound."""
    (chunk,) = writer.store("a.md", "one\n").chunk_ids
    for _ in range(3):
        links.add(say(chats, "x" * (PAGE_CHARACTERS // 2)), [chunk], project="default")
    assert links.of_chunk(chunk, project="default", limit=9).next_offset == 2


def test_statistics_equal_a_recount(links: Links, chats: Chats, writer: Writer, memory_file: Path) -> None:
    """A16: every number, the average, and the ten that are used most, ties by id."""
    assert links.statistics(project="default").average_links_per_message == 0
    chunks = writer.store("a.md", "".join(f"{n}\n" for n in range(12))).chunk_ids
    for n in range(5):
        links.add(say(chats, str(n)), chunks[n : n + 8 : n + 1], project="default")
    theirs = writer.store("a.md", TEXT, project="other").chunk_ids
    links.add(say(chats, "x", project="other"), theirs, project="other")
    found = links.statistics(project="default")
    with closing(sqlite3.connect(memory_file)) as file:
        rows = file.execute("SELECT message_id, chunk_id FROM context_links WHERE project = 'default'").fetchall()
    messages, used = [row[0] for row in rows], [row[1] for row in rows]
    assert (found.total_context_links, found.unique_messages, found.unique_chunks_used) == (
        len(rows),
        len(set(messages)),
        len(set(used)),
    )
    assert found.average_links_per_message == len(rows) / len(set(messages))
    most = sorted(((chunk, used.count(chunk)) for chunk in set(used)), key=lambda one: (-one[1], one[0]))[:10]
    assert [(one.chunk_id, one.usage_count) for one in found.most_used_chunks] == most


def test_a_link_goes_with_its_chunk(links: Links, chats: Chats, writer: Writer) -> None:
    """A14: a new version takes the older one's chunks away, and what pointed at them."""
    old = writer.store("a.md", "old\n").chunk_ids
    message = say(chats, "hello")
    links.add(message, old, project="default")
    new = writer.store("a.md", "new\n").chunk_ids
    assert links.of_message(message, project="default", limit=9).items == []
    links.add(message, new, project="default")
    assert [link.content for link in links.of_message(message, project="default", limit=9).items] == ["new\n"]
