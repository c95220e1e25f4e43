"""Reading: a file of the user's that is being imported, and what a mistake in it takes out again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

Refused = Callable[[Callable[..., Any], Exception], None]


@dataclass
class File:
    """The file: who hears of its mistakes, and the names of the functions that it has declared so far."""

    refused: Refused
    names: set[str] = field(default_factory=set)


file: File | None = None
_tables: list[dict[str, Any]] = []


def table() -> dict[str, Any]:
    """A table of what is declared; what a mistake put into any of them goes out of all."""
    made: dict[str, Any] = {}
    _tables.append(made)
    return made


@contextmanager
def reading(refused: Refused) -> Iterator[None]:
    """Within, a wrong function is told to `refused`, no other suffers; ended by an error, all that was declared is not.

    Not for two threads at once.
    """
    global file
    before, outer = kept(), file
    file = File(refused)
    try:
        yield
    except BaseException:
        restore(before)
        raise
    finally:
        file = outer


@contextmanager
def declaring(function: Callable[..., Any]) -> Iterator[None]:
    """Within, one function is declared; while a file is read its mistake is told, and nothing of it stays."""
    before = kept() if file else []
    try:
        yield
    except Exception as error:
        if file is None:
            raise
        restore(before)
        file.refused(function, error)


def kept() -> list[dict[str, Any]]:
    """What is declared now, for `restore`."""
    return [dict(table) for table in _tables]


def restore(before: list[dict[str, Any]]) -> None:
    """Have declared what was then, and nothing else."""
    for known, content in zip(_tables, before, strict=True):
        known.clear()
        known.update(content)
