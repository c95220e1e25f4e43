"""Sources: memory, code patterns, chats and todos, each searched in its own store, their finds in one shape."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Protocol

from ltmc_jobs.memory import context
from ltmc_jobs.memory.attempts import Attempts
from ltmc_jobs.memory.memory import Memory
from ltmc_jobs.memory.naming import CODE_PATTERN
from ltmc_jobs.results.memory import RetrievedChunk
from ltmc_jobs.results.sources import (
    ContextDocument,
    DocumentMetadata,
    RetrievedDocuments,
    RoutedQuery,
    Source,
    SourceResult,
)
from ltmc_jobs.stores.contracts import Chats, Corpus, Todos

TOP_DOCUMENTS = 3


class Tiers(Protocol):
    """What is searched beside the memory."""

    @property
    def corpus(self) -> Corpus: ...
    @property
    def chats(self) -> Chats: ...
    @property
    def todos(self) -> Todos: ...


class Sources:
    """The sources of one call's project."""

    def __init__(self, tiers: Tiers, memory: Memory, attempts: Attempts, project: str) -> None:
        self._tiers, self._memory, self._attempts, self._project = tiers, memory, attempts, project
        self._searches: dict[Source, Callable[[str, int, str | None], list[ContextDocument]]] = {
            "document": self._documents,
            "code": self._code,
            "chat": self._chat,
            "todo": self._todo,
        }

    def of_type(self, query: str, doc_type: str, top_k: int) -> RetrievedDocuments:
        """The passages of one type of document that answer a query best."""
        found = self._memory.retrieve(
            query, scope=self._memory.scope(resource_types=(doc_type,)), top_k=top_k, explain=True
        )
        documents = [_passage(chunk) for chunk in found.retrieved_chunks]
        return RetrievedDocuments(query, doc_type, documents, len(documents))

    def route(
        self, query: str, sources: Sequence[Source], top_k: int, max_tokens: int, conversation_id: str | None
    ) -> RoutedQuery:
        """What each source finds, `top_k` at most, and the best of all that fits `max_tokens`."""
        found = {source: self._searches[source](query, top_k, conversation_id) for source in sources}
        ranked = sorted((one for documents in found.values() for one in documents), key=lambda one: -one.score)
        built = context.build([asdict(one) for one in ranked], max_tokens)
        return RoutedQuery(
            query=query,
            source_types=list(sources),
            results_by_source={name: SourceResult(documents, len(documents)) for name, documents in found.items()},
            successful_sources=[source for source in sources if found[source]],
            total_documents=len(ranked),
            context=built.context,
            token_count=built.token_count,
            documents_used=built.documents_included,
            top_documents=ranked[:TOP_DOCUMENTS],
        )

    def _documents(self, query: str, top_k: int, _conversation_id: str | None) -> list[ContextDocument]:
        types = self._tiers.corpus.types(self._project)
        others = tuple(kind for kind in types if kind != CODE_PATTERN)
        if types and not others:
            return []
        # Asked for by their types only where attempts at code, however near, could take their places.
        scope = self._memory.scope(resource_types=others if CODE_PATTERN in types else ())
        found = self._memory.retrieve(query, scope=scope, top_k=top_k, explain=True)
        return [_passage(chunk) for chunk in found.retrieved_chunks]

    def _code(self, query: str, top_k: int, _conversation_id: str | None) -> list[ContextDocument]:
        return [
            ContextDocument(
                id=f"pattern-{pattern.id}",
                title=pattern.input_prompt,
                content=pattern.generated_code,
                type="code",
                created_at=pattern.created_at,
                score=pattern.similarity_score,
                metadata=DocumentMetadata("code", pattern.id, similarity=pattern.similarity_score),
            )
            for pattern in self._attempts.find(query, top_k).patterns
        ]

    def _chat(self, query: str, top_k: int, conversation_id: str | None) -> list[ContextDocument]:
        found = self._tiers.chats.search(query, project=self._project, limit=top_k, conversation_id=conversation_id)
        best = max((one.score for one in found), default=1.0)
        return [
            ContextDocument(
                id=f"message-{one.message.id}",
                title=f"{one.message.role}, {one.message.conversation_id}",
                content=one.message.content,
                type="chat",
                created_at=one.message.timestamp,
                score=round(one.score / best, 6),
                metadata=DocumentMetadata("chat", one.message.id, one.message.conversation_id, one.message.agent_name),
            )
            for one in found
        ]

    def _todo(self, query: str, top_k: int, _conversation_id: str | None) -> list[ContextDocument]:
        found = self._tiers.todos.search(query, project=self._project, limit=top_k).items
        best = max((one.score for one in found), default=1.0)
        return [
            ContextDocument(
                id=f"todo-{one.todo.id}",
                title=one.todo.title,
                content=one.todo.description or one.todo.title,
                type="todo",
                created_at=one.todo.created_at,
                score=round(one.score / best, 6),
                metadata=DocumentMetadata("todo", one.todo.id),
            )
            for one in found
        ]


def _passage(chunk: RetrievedChunk) -> ContextDocument:
    similarity = chunk.signals.meaning if chunk.signals else None
    return ContextDocument(
        id=f"chunk-{chunk.chunk_id}",
        title=chunk.file_name,
        content=chunk.content,
        type=chunk.resource_type,
        created_at=chunk.occurred_at or chunk.created_at,
        score=chunk.score,
        metadata=DocumentMetadata("document", chunk.resource_id, chunk.conversation_id, chunk.speaker, similarity),
    )
