"""Catalogue: what is there to read and to name in a project; it looks, and changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ltmc_jobs.results.catalogue import Document, DocumentMarks, DocumentPage, Names, OpenTodo, Utterance


class Catalogue(Protocol):
    """Documents, conversations and names of a project. Another project's are not there."""

    def document(self, project: str, resource_id: int) -> Document | None:
        """A document as it was stored last."""

    def document_named(self, project: str, file_name: str) -> Document | None:
        """The document of this name."""

    def documents(
        self, project: str, *, limit: int, cursor: str | None = None, conversation_id: str | None = None
    ) -> DocumentPage:
        """Documents, newest first, from a page's cursor on; InvalidArguments for a cursor that is none."""

    def marks(self, project: str, resource_ids: Sequence[int], file_names: Sequence[str]) -> DocumentMarks:
        """What changes with each change of these documents."""

    def conversation(self, project: str, conversation_id: str, *, limit: int) -> tuple[list[Utterance], int]:
        """What was said last, in the order in which it was said, and how much was said in all."""

    def open_todos(self, project: str, *, limit: int) -> tuple[list[OpenTodo], int]:
        """The newest of what is to be done, and how much that is in all."""

    def document_names(self, project: str, typed: str, *, limit: int) -> Names:
        """Documents whose name has what was typed, in any case: at its beginning first, then the newest first."""

    def resource_ids(self, project: str, typed: str, *, limit: int) -> Names:
        """Ids of documents that begin like this, the newest first."""

    def conversation_ids(self, project: str, typed: str, *, limit: int) -> Names:
        """Conversations, of chats and of documents, ordered like the names of documents."""

    def agent_names(self, project: str, typed: str, *, limit: int) -> Names:
        """Agents that spoke, ordered likewise."""

    def close(self) -> None: ...
