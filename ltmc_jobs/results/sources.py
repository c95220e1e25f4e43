"""What the tools answer that ask several sources: memory, code patterns, chats, todos."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Source = Literal["document", "code", "chat", "todo"]


@dataclass(frozen=True, slots=True)
class DocumentMetadata:
    """Where it is from; `similarity` is by meaning, 0 to 1, where the source is searched so."""

    source: Source
    reference: int  # the id there: of the resource, the attempt, the message, the todo
    conversation_id: str | None = None
    speaker: str | None = None
    similarity: float | None = None


@dataclass(frozen=True, slots=True)
class ContextDocument:
    """Something found, in one shape whatever its source; `score` is 0 to 1 among what its source found."""

    id: str
    title: str
    content: str
    type: str
    created_at: str | None
    score: float
    metadata: DocumentMetadata


@dataclass(frozen=True, slots=True)
class RetrievedDocuments:
    """Passages of one type of document, best first."""

    query: str
    doc_type: str
    documents: list[ContextDocument]
    count: int


@dataclass(frozen=True, slots=True)
class SourceResult:
    """What one source found, best first."""

    documents: list[ContextDocument]
    count: int


@dataclass(frozen=True, slots=True)
class RoutedQuery:
    """What each source found, and all of it as one context within the budget; no model writes an answer from it."""

    query: str
    source_types: list[Source]
    results_by_source: dict[str, SourceResult]
    successful_sources: list[Source]
    total_documents: int
    context: str
    token_count: int
    documents_used: int
    top_documents: list[ContextDocument]
    combined_answer: str | None = None


@dataclass(frozen=True, slots=True)
class AnsweredQuestion:
    """A model's answer from what the memory holds, and what it was made from."""

    query: str
    conversation_id: str | None
    context: str
    context_summary: str
    answer: str
    documents_used: int
    top_documents: list[ContextDocument]
