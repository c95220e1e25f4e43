"""What the memory tools answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """A recorded version of a document. `vector_ids` are the ids of its chunks and of their vectors."""

    resource_id: int
    file_name: str
    version: int
    state: str
    chunk_count: int
    vector_ids: list[int]


@dataclass(frozen=True, slots=True)
class StoredMemory:
    """What was recorded: the document, and of many each; then the numbers are those of the last, the counts of all."""

    message: str
    resource_id: int
    file_name: str
    version: int
    state: str
    chunk_count: int
    vector_ids: list[int]
    documents: list[StoredDocument]


@dataclass(frozen=True, slots=True)
class Signals:
    """What a score is made of: each signal's value, 0 to 1, and its weight for this kind of memory."""

    kind: str
    meaning: float | None
    words: float
    neighbours: float
    weights: dict[str, float]


@dataclass(frozen=True, slots=True)
class RetrievedChunk:
    """A passage: `content` is the document's text from `start` to `end`, in characters; times are ISO 8601 in UTC."""

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
    match: Literal["both", "meaning", "words"]
    conversation_id: str | None = None
    speaker: str | None = None
    occurred_at: str | None = None
    created_at: str | None = None
    signals: Signals | None = None


@dataclass(frozen=True, slots=True)
class RelatedDocument:
    """A document that the graph links to one that was found."""

    file_name: str
    relation: str
    linked_to: str


@dataclass(frozen=True, slots=True)
class MissingSignal:
    """What this search went without, and why: `meaning`, or the `links` to related documents."""

    signal: Literal["meaning", "links"]
    reason: str


@dataclass(frozen=True, slots=True)
class RetrievedMemory:
    """What was found, best first; `context` is the passages joined by blank lines."""

    query: str
    context: str
    retrieved_chunks: list[RetrievedChunk]
    total_results: int
    related: list[RelatedDocument]
    missing: list[MissingSignal] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class KindWeights:
    """How much each signal counts for a kind of memory; `is_own`: set for this project."""

    kind: Literal["dialogue", "document", "code"]
    meaning: float
    words: float
    neighbours: float
    is_own: bool


@dataclass(frozen=True, slots=True)
class RetrievalWeights:
    """The weights of each kind of memory."""

    weights: list[KindWeights]
