"""Resources and prompts as they are declared: URIs, variables, what a mistake says."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ltmc_jobs import offers, prompt, reading, registry, resource, user_tools
from ltmc_jobs.errors import UnknownMethod


@pytest.fixture(autouse=True)
def _nothing_stays() -> Iterator[None]:
    before = reading.kept()
    yield
    reading.restore(before)


def test_a_uri_says_its_arguments_to_the_function() -> None:
    @resource("shelf://{shelf}/books/{number}")
    def book(shelf: str, number: int) -> str:
        """A book on a shelf."""
        return ""

    @resource("shelf://all/books/1")
    def first_book() -> str:
        """The first one."""
        return ""

    def found(uri: str) -> tuple[str, dict[str, object]] | None:
        at = offers.resource_at(uri)
        return (at[0].tool, at[1]) if at else None

    assert found("shelf://a%2Fb/books/12") == ("book", {"shelf": "a/b", "number": 12})
    assert found("shelf://x/books/-3") == ("book", {"shelf": "x", "number": -3})
    assert found("shelf://x/books/many") == ("book", {"shelf": "x", "number": "many"})  # which its form refuses
    assert found("shelf://all/books/1") == ("first_book", {})
    assert found("shelf://x/books/") is None
    assert found("Shelf://x/books/1") is None


def test_what_stands_behind_an_offer_is_called_by_name_and_not_listed() -> None:
    @prompt()
    def cheer(name: str) -> str:
        """Cheer somebody up."""
        return name

    assert registry.find("cheer").form.description == "Cheer somebody up."
    assert "cheer" not in [form.name for form in registry.forms()]
    assert [one.tool for one in offers.prompts()][-1] == "cheer"


def test_arguments_must_be_the_variables() -> None:
    with pytest.raises(ValueError, match="variables of shelf://"):

        @resource("shelf://{shelf}")
        def book(number: int) -> str:
            """A book."""
            return ""


def test_a_refused_function_offers_nothing() -> None:
    """Its name is taken: whoever reads the file is told, and the rest of the file counts."""
    refused: list[str] = []
    with reading.reading(lambda _function, error: refused.append(str(error))):

        @prompt()
        def store_memory() -> str:
            """Take another's name."""
            return ""

    assert refused
    assert offers.find_prompt("store_memory") is None
    with pytest.raises(UnknownMethod):
        registry.find("no_such_prompt")


OFFERED = '''
from ltmc_jobs import prompt, resource, tool

@resource("shelf://{shelf}")
def book(number: int) -> str:
    """Whose argument is no variable."""

@resource("shelf://{shelf}/{shelf}")
def pair(shelf: str) -> str:
    """One variable twice."""

@resource("shelf")
def plank() -> str:
    """No URI."""

@resource("ltmc://resource/{resource_id}")
def stand_in(resource_id: int) -> str:
    """Stand where another stands."""

@prompt(completes={"name": "document_names"})
def cheer(name):
    """Say no type."""

@tool
def count(number: int) -> int:
    """Count."""

@resource("shelf://{shelf}/first")
def first(shelf: str) -> str:
    """The first book."""

@resource("shelf://{number}/last")
def first(number: int) -> str:
    """Another of the same name."""
'''
TOLD = {
    "book": "variables of shelf://{shelf}",
    "pair": "variables of shelf://{shelf}/{shelf}",
    "plank": "'shelf' is no URI",
    "stand_in": "ltmc://resource/{resource_id} is declared twice: read_resource stands there",
    "cheer": "a type for name",
    "first": "first is declared twice in this file",
}


def loaded(file: Path, text: str) -> list[user_tools.Mistake]:
    file.write_text(text)
    try:
        return user_tools.load_entry(str(file)).mistakes
    finally:
        user_tools.loaded().__init__()  # type: ignore[misc]
        sys.modules.pop(file.stem, None)


def test_a_wrong_offer_costs_itself_alone(tmp_path: Path) -> None:
    """Each is told with its function's name; what stands beside it counts, and nothing of it is left."""
    mistakes = {mistake.tool: mistake.message for mistake in loaded(tmp_path / "offered_well.py", OFFERED)}
    assert {name: words in mistakes.get(name, "") for name, words in TOLD.items()} == dict.fromkeys(TOLD, True)
    assert mistakes.keys() == TOLD.keys()
    found = offers.find_resource("ltmc://resource/{resource_id}")
    assert found is not None
    assert found.tool == "read_resource"
    assert [(one.tool, one.uri) for one in offers.resources()][-1] == ("first", "shelf://{shelf}/first")
    assert registry.find("count").form.name == "count"
    for name in TOLD.keys() - {"first"}:
        with pytest.raises(UnknownMethod):
            registry.find(name)


def test_a_file_that_fails_leaves_no_offer(tmp_path: Path) -> None:
    """Else a list would show what has no function."""
    before = [*offers.resources()], [*offers.prompts()]
    (mistake,) = loaded(
        tmp_path / "offered_ill.py",
        '''
from ltmc_jobs import prompt, resource

@resource("shelf://all")
def shelf() -> str:
    """All of it."""

@prompt()
def praise() -> str:
    """Praise."""

1 / 0
''',
    )
    assert "ZeroDivisionError" in mistake.message
    assert ([*offers.resources()], [*offers.prompts()]) == before
