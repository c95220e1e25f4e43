"""What is in a project: its documents, conversations and names, as they are read and listed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Document:
    """A document with its whole text, as it was stored last."""

    resource_id: int
    file_name: str
    resource_type: str
    version: int
    content: str
    created_at: str
    updated_at: str


@dataclass(frozen=True, slots=True)
class ListedDocument:
    """A document in a list; `characters` is the length of its text."""

    resource_id: int
    file_name: str
    resource_type: str
    version: int
    characters: int
    updated_at: str


@dataclass(frozen=True, slots=True)
class DocumentPage:
    """Documents, the newest first; `cursor` stands for what follows, and is null at the end."""

    documents: list[ListedDocument]
    cursor: str | None
    total: int


@dataclass(frozen=True, slots=True)
class Utterance:
    """What somebody said in a conversation."""

    message_id: int
    role: str
    content: str
    timestamp: str
    agent_name: str | None


@dataclass(frozen=True, slots=True)
class OpenTodo:
    """Something that is still to be done."""

    todo_id: int
    title: str
    description: str
    priority: str


@dataclass(frozen=True, slots=True)
class Names:
    """Names that fit what was typed, the best first; `total` counts those that are not shown too."""

    names: list[str]
    total: int


@dataclass(frozen=True, slots=True)
class DocumentMarks:
    """What tells a document's state from the next, by id and by name; documents that are not there are left out."""

    by_id: dict[str, str]
    by_name: dict[str, str]
