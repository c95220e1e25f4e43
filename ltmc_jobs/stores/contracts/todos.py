"""Todos: what is to be done, and what is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ltmc_jobs.results.todos import Priority, Todo
from ltmc_jobs.stores.contracts.page import Page


@dataclass(frozen=True, slots=True)
class FoundTodo:
    """A todo with its score, 0 to 3: above 1 it has the query as it stands, above 2 in its title."""

    todo: Todo
    score: float


class Todos(Protocol):
    """Todos, each of a project; `completed` None means open and completed ones."""

    def add(self, *, project: str, title: str, description: str, priority: Priority, job_id: str | None = None) -> Todo:
        """Keep a todo. A job id that the project had before gives the todo kept then, and keeps nothing."""

    def complete(self, todo_id: int, *, project: str, job_id: str | None = None) -> tuple[Todo, bool]:
        """Complete a todo once, and whether another job had; NotFound. The time of completion never moves."""

    def list(self, *, project: str, completed: bool | None = None, limit: int, offset: int = 0) -> Page[Todo]:
        """Todos by when they were made, newest first, then by id."""

    def search(
        self, query: str, *, project: str, completed: bool | None = None, limit: int, offset: int = 0
    ) -> Page[FoundTodo]:
        """Todos that have the query as it stands, or any of its words, best first, then newest first.

        First come those with the query, letter by letter but for the case of ASCII letters, in the title, then those
        with it in the description, then those with words of it, whatever their endings; among each, a rare word counts
        for more than a frequent one, and one in the title for more than one in the description. What holds a `%` or a
        `_` must stand in the todo as it is.
        """

    def check(self) -> None:
        """Raise if the store cannot answer."""

    def close(self) -> None: ...
