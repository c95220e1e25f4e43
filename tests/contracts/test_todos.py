"""Todos: noted once a job, completed once and for all, listed by state, and found as they are written."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ltmc_jobs.errors import NotFound
from ltmc_jobs.results.todos import Todo
from ltmc_jobs.stores.contracts import Todos
from ltmc_jobs.stores.todos_sqlite import SqliteTodos


@pytest.fixture(params=["sqlite"])
def todos(request: pytest.FixtureRequest, memory_file: Path) -> Iterator[Todos]:
    opened = {"sqlite": SqliteTodos}[request.param](memory_file)
    yield opened
    opened.close()


def note(todos: Todos, title: str, description: str = "", *, project: str = "default") -> Todo:
    return todos.add(project=project, title=title, description=description, priority="medium")


def found(todos: Todos, query: str, *, project: str = "default") -> list[str]:
    """The titles that a query finds, best first."""
    page = todos.search(query, project=project, limit=100)
    assert page.total == len(page.items)
    assert [hit.score for hit in page.items] == sorted((hit.score for hit in page.items), reverse=True)
    return [hit.todo.title for hit in page.items]


def test_a_todo_is_noted_once_a_job(todos: Todos) -> None:
    """A07: as given; a job that runs again notes nothing twice."""
    first = todos.add(project="default", title="T", description="é\x00", priority="high", job_id="j")
    assert (first.title, first.description, first.priority) == ("T", "é\x00", "high")
    assert (first.completed, first.completed_at) == (False, None)
    assert todos.add(project="default", title="T", description="é\x00", priority="high", job_id="j") == first
    assert todos.add(project="other", title="T", description="", priority="high", job_id="j").id != first.id
    assert todos.list(project="default", limit=9).total == 1


def test_a_todo_is_completed_once(todos: Todos) -> None:
    """A09: the time stays; the job that completed it may run again, and another one hears that it was done."""
    todo = note(todos, "T")
    done, already = todos.complete(todo.id, project="default", job_id="a")
    assert (done.completed, already) == (True, False)
    assert done.completed_at is not None
    assert todos.complete(todo.id, project="default", job_id="a") == (done, False)
    assert todos.complete(todo.id, project="default", job_id="b") == (done, True)
    assert todos.complete(todo.id, project="default") == (done, True)
    second = note(todos, "raced for")
    with ThreadPoolExecutor(4) as pool:
        ends = list(pool.map(lambda n: todos.complete(second.id, project="default", job_id=f"j{n}"), range(8)))
    assert sorted(already for _, already in ends) == [False, *[True] * 7]
    assert len({done.completed_at for done, _ in ends}) == 1
    for number, project in ((second.id + 1, "default"), (todo.id, "other")):
        with pytest.raises(NotFound, match="Todo not found") as raised:
            todos.complete(number, project=project)
        assert raised.value.details == {"todo_id": number}


def test_todos_are_listed_by_state_newest_first(todos: Todos) -> None:
    """A08: exact filter, limit, offset, total, time of completion."""
    made = [note(todos, str(n)) for n in range(5)]
    note(todos, "theirs", project="other")
    for todo in made[:2]:
        todos.complete(todo.id, project="default")
    titles = {
        state: [todo.title for todo in todos.list(project="default", completed=state, limit=9).items]
        for state in (None, True, False)
    }
    assert titles == {None: ["4", "3", "2", "1", "0"], True: ["1", "0"], False: ["4", "3", "2"]}
    page = todos.list(project="default", limit=2, offset=1)
    assert ([todo.title for todo in page.items], page.total, page.next_offset) == (["3", "2"], 5, 3)
    assert todos.list(project="default", completed=True, limit=2).next_offset is None
    assert all(todo.completed_at for todo in todos.list(project="default", completed=True, limit=9).items)


def test_wild_cards_are_letters_like_others(todos: Todos) -> None:
    """A10: % and _ stand for themselves."""
    for title in ("50% off", "50 items", "snake_case", "snake case", "snakeXcase", "100%"):
        note(todos, title)
    assert found(todos, "%") == ["100%", "50% off"]
    assert found(todos, "50%") == ["50% off"]
    assert found(todos, "_") == found(todos, "snake_case") == found(todos, "Is snake_case used?") == ["snake_case"]
    assert found(todos, "%_%") == found(todos, "s%e") == []


def test_todos_are_ranked_as_the_docstring_says(todos: Todos) -> None:
    """A10: the query in the title, then in the description, then its words; rare and title words first; then newest."""
    note(todos, "Call the plumber", "The sink drips")
    note(todos, "Fix sinks")
    note(todos, "Sink", "old")
    note(todos, "sink", "new")
    note(todos, "Order parts", "For the SINK")
    note(todos, "A sinking feeling")
    assert found(todos, "sink")[:2] == ["sink", "Sink"]
    assert set(found(todos, "sink")[2:4]) == {"Fix sinks", "A sinking feeling"}
    assert set(found(todos, "sink")[4:]) == {"Order parts", "Call the plumber"}
    assert found(todos, "which plumber for the sinks?")[0] == "Call the plumber"
    assert found(todos, "fixing") == ["Fix sinks"]
    assert found(todos, "umb") == ["Call the plumber"]
    assert found(todos, "harbour") == found(todos, "sink", project="other") == []
    for odd in ('"', "sink* OR NEAR(", "title:sink", "AND NOT", "😀", "'", "\x00", "  "):
        found(todos, odd)


def test_a_title_outranks_a_description(todos: Todos) -> None:
    """A10: the query in a long title, before a description that is nothing else; so with words."""
    note(todos, f"{'Long words about other things. ' * 9} The pump.", "And more of them. " * 9)
    note(todos, "x", "pump")
    assert [hit.score > 2 for hit in todos.search("pump", project="default", limit=9).items] == [True, False]
    note(todos, "plumber now", "nothing else")
    note(todos, "nothing else", "plumber now")
    for n in range(9):
        note(todos, f"filler {n}")
    assert found(todos, "plumbers soon") == ["plumber now", "nothing else"]


def test_found_todos_come_in_pages_and_by_state(todos: Todos) -> None:
    """A10: limit, offset, total, and the filter of the list."""
    made = [note(todos, f"sink {n}") for n in range(5)]
    todos.complete(made[0].id, project="default")
    page = todos.search("sink", project="default", completed=False, limit=3, offset=2)
    assert ([hit.todo.title for hit in page.items], page.total, page.next_offset) == (["sink 2", "sink 1"], 4, None)
    (done,) = todos.search("sink", project="default", completed=True, limit=3).items
    assert done.todo.completed_at is not None


TEXT = st.text(st.sampled_from("aAb%_ .\"'*é"), min_size=1, max_size=6)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(titles=st.lists(TEXT, min_size=1, max_size=5), query=TEXT)
def test_what_holds_the_query_is_found_first(todos: Todos, titles: list[str], query: str) -> None:
    """A10: whatever the letters, each todo that has the query as it stands, before all others."""
    project = f"p-{uuid4().hex}"
    for title in titles:
        note(todos, title, project=project)
    answer = found(todos, query, project=project)
    wanted = query.strip().lower()
    holding = [title for title in titles if wanted and wanted in title.lower()]
    assert sorted(answer[: len(holding)]) == sorted(holding)
    wild = [part.strip(".\"'") for part in query.split() if re.search("[%_]", part)]
    assert all(part.lower() in title.lower() for part in wild for title in answer)
