"""The todo tools: both ways to give a priority and a state, the stored record, one completion."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from ltmc_jobs.errors import InvalidArguments, NotFound
from ltmc_jobs.services import Services
from tests.tools.calling import Caller, services_without_redis


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    with services_without_redis(tmp_path_factory.mktemp("todos")) as opened:
        yield opened


@pytest.fixture
def call(services: Services) -> Caller:
    """In a project of the test's own."""
    return Caller(services, f"p-{uuid.uuid4().hex}")


def test_the_stored_record_is_returned(call: Caller) -> None:
    """A07: the description may be left out; the job's second run notes nothing new."""
    added = call("add_todo", title="Paint the door", job_id="j")
    assert call("add_todo", title="Paint the door", job_id="j") == added
    todo = added["todo"]
    assert (added["todo_id"], todo["title"], todo["description"], todo["priority"]) == (
        todo["id"],
        "Paint the door",
        "",
        "medium",
    )
    assert (todo["completed"], todo["completed_at"]) == (False, None)
    assert call("list_todos")["todos"] == [todo]


@pytest.mark.parametrize(
    ("given", "kept"),
    [("low", "low"), ("medium", "medium"), ("high", "high"), (1, "low"), (2, "medium"), (3, "high"), (2.0, "medium")],
)
def test_a_priority_is_a_word_or_a_number(call: Caller, given: Any, kept: str) -> None:
    """A07: both are accepted, the word is stored."""
    assert call("add_todo", title="x", priority=given)["todo"]["priority"] == kept


@pytest.mark.parametrize("odd", [0, 4, "urgent", "", "LOW", "2", True, None, 1.5, []])
def test_other_priorities_are_refused(call: Caller, odd: Any) -> None:
    """A07: with the field's name."""
    with pytest.raises(InvalidArguments) as raised:
        call("add_todo", title="x", priority=odd)
    assert raised.value.details == {"field": "priority"}
    assert call("list_todos")["total"] == 0


def test_states_by_name_and_as_older_clients_say_it(call: Caller) -> None:
    """A08: all, pending, completed; `completed` true, false or null; an unknown one is refused."""
    done, open_ = (call("add_todo", title=title)["todo_id"] for title in ("done", "open"))
    call("complete_todo", todo_id=done)
    for arguments, expected in (
        ({}, [open_, done]),
        ({"status": "all"}, [open_, done]),
        ({"completed": None}, [open_, done]),
        ({"status": "pending"}, [open_]),
        ({"completed": False}, [open_]),
        ({"status": "completed"}, [done]),
        ({"completed": True}, [done]),
    ):
        found = call("list_todos", **arguments)
        assert [todo["id"] for todo in found["todos"]] == expected
        assert found["count"] == found["total"] == len(expected)
    for odd in ("done", "", 0, 1, []):
        with pytest.raises(InvalidArguments) as raised:
            call("list_todos", status=odd)
        assert raised.value.details == {"field": "status"}
    with pytest.raises(InvalidArguments):
        call("list_todos", status="all", completed=True)


def test_a_second_completion_moves_nothing(call: Caller) -> None:
    """A09: already_completed, the same time; an unknown id is not found."""
    number = call("add_todo", title="x")["todo_id"]
    first = call("complete_todo", todo_id=number, job_id="a")
    assert (first["already_completed"], first["todo"]["completed"]) == (False, True)
    assert call("complete_todo", todo_id=number, job_id="a") == first
    second = call("complete_todo", todo_id=number)
    assert (second["already_completed"], second["todo"]) == (True, first["todo"])
    with pytest.raises(NotFound) as raised:
        call("complete_todo", todo_id=number + 1)
    assert raised.value.details == {"todo_id": number + 1}
    for odd in (0, -1, 2**63, "1", None, 1.5, True):
        with pytest.raises(InvalidArguments) as refused:
            call("complete_todo", todo_id=odd)
        assert refused.value.details == {"field": "todo_id"}


def test_pages(call: Caller) -> None:
    """A08, A10: limit, offset, total and where the next page begins."""
    for n in range(5):
        call("add_todo", title=f"sink {n}")
    for name, arguments in (("list_todos", {}), ("search_todos", {"query": "sink"})):
        page = call(name, **arguments, limit=2, offset=2)
        assert [todo["title"] for todo in page["todos"]] == ["sink 2", "sink 1"]
        assert (page["count"], page["total"], page["next_offset"]) == (2, 5, 4)
        for field, odd in (("limit", 0), ("limit", 101), ("offset", -1), ("offset", 2**64)):
            with pytest.raises(InvalidArguments) as raised:
                call(name, **arguments | {field: odd})
            assert raised.value.details == {"field": field}


def test_a_search_is_literal_and_needs_a_letter(call: Caller) -> None:
    """A10: wild cards stand for themselves; blanks alone are no query; states filter."""
    done = call("add_todo", title="100% sure", description="of a_b")["todo_id"]
    call("add_todo", title="100 times")
    call("complete_todo", todo_id=done)
    assert [todo["id"] for todo in call("search_todos", query="100%")["todos"]] == [done]
    assert [todo["id"] for todo in call("search_todos", query="a_b", status="completed")["todos"]] == [done]
    assert call("search_todos", query="a_b", completed=False)["total"] == 0
    for odd in ("", "   ", None, 3, "x" * 8193):
        with pytest.raises(InvalidArguments) as raised:
            call("search_todos", query=odd)
        assert raised.value.details == {"field": "query"}
    for odd in ("", " ", "x" * 1001):
        with pytest.raises(InvalidArguments):
            call("add_todo", title=odd)
