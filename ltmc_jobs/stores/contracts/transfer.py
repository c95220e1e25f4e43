"""Transfer: everything of a project as records that can be read out, written in again, and taken away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

from ltmc_jobs.stores.contracts.graph import Edge

Kind = Literal["document", "message", "todo", "pattern", "link"]
KINDS: tuple[Kind, ...] = ("document", "message", "todo", "pattern", "link")


@dataclass(frozen=True, slots=True)
class Selection:
    """Which documents of a project: those that fit all that is given. What a document is, its newest version says."""

    project: str
    file_name: str | None = None
    conversation_id: str | None = None
    resource_type: str | None = None

    @property
    def is_conversation(self) -> bool:
        """Whether it is a whole conversation, with the messages in it."""
        return self.conversation_id is not None and self.file_name is None and self.resource_type is None

    @property
    def is_project(self) -> bool:
        """Whether it is the whole project."""
        return self == Selection(self.project)


class Held(NamedTuple):
    """A document with what hangs on it."""

    resource_id: int
    file_name: str
    chunk_ids: list[int]
    job_ids: list[str]


class Forgotten(NamedTuple):
    """How much was taken away."""

    documents: int
    versions: int
    chunks: int
    vectors: int
    patterns: int


class Transfer(Protocol):
    """The records as they leave and come. An item is (its id, its record); ids grow."""

    def held(self, selection: Selection, *, limit: int) -> list[Held]:
        """The first documents of a selection."""

    def forget(self, project: str, resource_ids: Sequence[int]) -> Forgotten:
        """Remove documents with all that hangs on them, and attempts at code found by them, in one transaction."""

    def message_ids(self, project: str, conversation_id: str) -> list[int]:
        """What was said in a conversation."""

    def forget_messages(self, project: str, conversation_id: str) -> int:
        """Remove what was said in a conversation, with its links; how many messages."""

    def items(
        self, kind: Kind, selection: Selection, *, after: int, limit: int, with_versions: bool = False
    ) -> list[tuple[int, dict[str, Any]]]:
        """The records of a kind behind an id, in the order of their ids; of no kind `link`."""

    def total(self, kind: Kind, selection: Selection) -> int:
        """How many records of a kind, other than `link`, there are."""

    def is_recorded(self, project: str, document: dict[str, Any]) -> bool:
        """Whether the newest version of a document has all that this record says."""

    def date(self, resource_id: int, version: int, created_at: str) -> None:
        """Note that a version was first stored then."""

    def add(self, kind: Kind, project: str, record: dict[str, Any]) -> tuple[int, bool]:
        """Write a message, todo or pattern, and links of a message: its id, and False if all of it was there before.

        Those alike in every field and in time are one.
        """

    def close(self) -> None: ...


class EdgeList(Protocol):
    """The links between documents and entities of a project, one after the other."""

    def page(self, project: str, *, offset: int, limit: int) -> list[Edge]:
        """Links by source, relation and target; without those that a text itself gives."""

    def total(self, project: str) -> int:
        """How many there are."""

    def close(self) -> None: ...
