"""What the memory tools answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class StoredMemory:
    """A recorded version of a document. `vector_ids` are the ids of its chunks and of their vectors."""

    message: str
    resource_id: int
    file_name: str
    version: int
    state: str
    chunk_count: int
    vector_ids: list[int]


@dataclass(frozen=True, slots=True)
class RetrievedChunk:
    """A passage: `content` is the document's text from `start` to `end`, in characters."""

    chunk_id: int
    resource_id: int
    file_name: str
    resource_type: str
    version: int
    chunk_index: int
    start: int
    end: int
    content: str
    score: float
    match: Literal["meaning", "words"]


@dataclass(frozen=True, slots=True)
class RelatedDocument:
    """A document that the graph links to one that was found."""

    file_name: str
    relation: str
    linked_to: str


@dataclass(frozen=True, slots=True)
class RetrievedMemory:
    """What was found, best first; `context` is the passages joined by blank lines."""

    query: str
    context: str
    retrieved_chunks: list[RetrievedChunk]
    total_results: int
    related: list[RelatedDocument]
