"""What the todo tools answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ltmc_jobs.results.paged import Paged

Priority = Literal["low", "medium", "high"]


@dataclass(frozen=True, slots=True)
class Todo:
    """Something to be done; times are ISO 8601 in UTC, `completed_at` is None while it is open."""

    id: int
    title: str
    description: str
    priority: Priority
    completed: bool
    created_at: str
    completed_at: str | None


@dataclass(frozen=True, slots=True)
class AddedTodo:
    """The todo as it was kept."""

    message: str
    todo_id: int
    todo: Todo


@dataclass(frozen=True, slots=True)
class CompletedTodo:
    """The todo as it stands; `already_completed` where an earlier call had completed it."""

    message: str
    todo_id: int
    already_completed: bool
    todo: Todo


@dataclass(frozen=True, slots=True)
class Todos(Paged):
    """A page of todos."""

    todos: list[Todo]
