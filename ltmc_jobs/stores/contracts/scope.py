"""Scope: which chunks a search may look at."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scope:
    """A project, and where given: one conversation, some types of documents, a stretch of time."""

    project: str
    conversation_id: str | None = None
    resource_types: tuple[str, ...] = ()  # none: every type
    after: str | None = None  # ISO 8601, UTC, included: when it happened, or was stored where that is not known
    before: str | None = None  # excluded

    @property
    def is_project(self) -> bool:
        """Whether it is the whole project."""
        return self == Scope(self.project)
