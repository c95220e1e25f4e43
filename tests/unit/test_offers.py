"""Resources and prompts as they are declared: URIs, variables, what a mistake says."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ltmc_jobs import offers, prompt, registry, resource
from ltmc_jobs.errors import UnknownMethod


@pytest.fixture(autouse=True)
def _nothing_stays() -> Iterator[None]:
    tables = (*registry._tables, offers._resources, offers._prompts)
    kept = [dict(table) for table in tables]
    yield
    for table, before in zip(tables, kept, strict=True):
        table.clear()
        table.update(before)


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
    with registry.reading(lambda _function, error: refused.append(str(error))):

        @prompt()
        def store_memory() -> str:
            """Take another's name."""
            return ""

    assert refused
    assert offers.find_prompt("store_memory") is None
    with pytest.raises(UnknownMethod):
        registry.find("no_such_prompt")
