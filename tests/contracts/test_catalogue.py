"""The catalogue's contract, on every backend: what is listed and named is what is there, of one project."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ltmc_jobs.errors import InvalidArguments
from ltmc_jobs.stores.catalogue_sqlite import SqliteCatalogue
from ltmc_jobs.stores.contracts import Catalogue
from ltmc_jobs.stores.records_sqlite import SqliteRecords
from ltmc_jobs.stores.sqlite_file import SqliteFile
from tests.contracts.conftest import Writer


class Place:
    """A file with what the other stores write, and the catalogue over it."""

    def __init__(self, path: Path) -> None:
        records = SqliteRecords(path)
        self.writer = Writer(records)
        self.catalogue: Catalogue = SqliteCatalogue(path)
        self._file = SqliteFile(path)

    def say(self, conversation_id: str, content: str, *, agent: str | None = None, project: str = "default") -> None:
        """Write a line of a chat."""
        row = [project, conversation_id, "user", content, agent]
        with self._file.writing() as database:
            database.execute(
                "INSERT INTO chat_history (project, conversation_id, role, content, agent_name, timestamp) "
                "VALUES (?, ?, ?, ?, ?, strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))",
                row,
            )

    def close(self) -> None:
        self.catalogue.close()
        self.writer.records.close()
        self._file.close()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path / "ltmc.db")
    yield made
    made.close()


def test_a_document_is_read_as_it_was_stored_last(place: Place) -> None:
    one = place.writer.store("a.md", "first")
    place.writer.record("a.md", "second\r\n")
    for found in (
        place.catalogue.document("default", one.resource_id),
        place.catalogue.document_named("default", "a.md"),
    ):
        assert found is not None
        assert (found.file_name, found.content, found.version) == ("a.md", "second\r\n", 2)
    assert place.catalogue.document("other", one.resource_id) is None
    assert place.catalogue.document_named("default", "A.md") is None


def test_pages_follow_each_other_whatever_happens_between(place: Place) -> None:
    for number in range(7):
        place.writer.record(f"{number}.md", "x")
    first = place.catalogue.documents("default", limit=3)
    assert [one.file_name for one in first.documents] == ["6.md", "5.md", "4.md"]
    assert first.total == 7
    place.writer.record("new.md", "y")
    second = place.catalogue.documents("default", limit=3, cursor=first.cursor)
    third = place.catalogue.documents("default", limit=3, cursor=second.cursor)
    assert [one.file_name for one in [*second.documents, *third.documents]] == ["3.md", "2.md", "1.md", "0.md"]
    assert third.cursor is None
    assert place.catalogue.documents("other", limit=3).documents == []


def test_a_cursor_of_one_s_own_is_refused(place: Place) -> None:
    for cursor in ("", "x", "[]", "{}", "[1, 2]", '["a", "b"]', "null"):
        with pytest.raises(InvalidArguments):
            place.catalogue.documents("default", limit=1, cursor=cursor)


def test_a_conversation_is_what_was_said_and_stored_in_it(place: Place) -> None:
    for number in range(5):
        place.say("talk", f"line {number}")
    place.say("talk", "theirs", project="other")
    place.writer.record("in.md", "x", conversation_id="talk")
    place.writer.record("out.md", "x")
    said, count = place.catalogue.conversation("default", "talk", limit=2)
    assert ([one.content for one in said], count) == (["line 3", "line 4"], 5)
    inside = place.catalogue.documents("default", limit=9, conversation_id="talk")
    assert ([one.file_name for one in inside.documents], inside.total) == (["in.md"], 1)


def test_names_begin_first_and_are_taken_literally(place: Place) -> None:
    for name in ("my plan.md", "plan_a.md", "Plan b.md", "x%y.md"):
        place.writer.record(name, "x")
    names = place.catalogue.document_names
    assert names("default", "plan", limit=9).names == ["Plan b.md", "plan_a.md", "my plan.md"]
    assert names("default", "plan_", limit=9).names == ["plan_a.md"]
    assert names("default", "%", limit=9).names == ["x%y.md"]
    assert names("default", "\\", limit=9).names == []
    few = names("default", "", limit=2)
    assert (len(few.names), few.total) == (2, 4)
    assert names("other", "", limit=9).total == 0


def test_conversations_and_agents_are_named_once(place: Place) -> None:
    place.say("c1", "x", agent="ann")
    place.say("c1", "y", agent="ann")
    place.writer.record("in.md", "x", conversation_id="c1")
    place.writer.record("too.md", "x", conversation_id="c2")
    assert sorted(place.catalogue.conversation_ids("default", "c", limit=9).names) == ["c1", "c2"]
    agents = place.catalogue.agent_names("default", "", limit=9)
    assert (agents.names, agents.total) == (["ann"], 1)


def test_marks_change_with_the_documents(place: Place) -> None:
    one = place.writer.record("a.md", "x")
    place.writer.record("b.md", "x")
    before = place.catalogue.marks("default", [one.resource_id, 999], ["b.md", "none.md"])
    assert (set(before.by_id), set(before.by_name)) == ({str(one.resource_id)}, {"b.md"})
    place.writer.record("a.md", "y")
    after = place.catalogue.marks("default", [one.resource_id], ["b.md"])
    assert after.by_id != before.by_id
    assert after.by_name == before.by_name
    assert place.catalogue.marks("other", [one.resource_id], ["b.md"]).by_id == {}
