"""Memory: what tools call to remember and recall, within the project of one call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from ltmc_jobs.errors import InvalidArguments
from ltmc_jobs.llm.embedding import Embedder
from ltmc_jobs.memory import ingestion, retrieval
from ltmc_jobs.queues.contract import JobSpec
from ltmc_jobs.queues.envelope import Call
from ltmc_jobs.results.memory import RetrievedMemory, StoredMemory
from ltmc_jobs.stores.contracts import Chunk, ChunkText, Graph, Records, Scope, Vectors, Version


class Tiers(Protocol):
    """What a memory stands on."""

    @property
    def records(self) -> Records: ...
    @property
    def vectors(self) -> Vectors: ...
    @property
    def graph(self) -> Graph: ...
    @property
    def embedder(self) -> Embedder: ...
    @property
    def model(self) -> str: ...


class Memory:
    """The four tiers for one call; jobs that must follow are put into `following`."""

    def __init__(self, tiers: Tiers, call: Call, following: dict[str, list[JobSpec]]) -> None:
        self._tiers = tiers
        self._call = call
        self._following = following

    def store(
        self, file_name: str, content: str, *, resource_type: str = "document", conversation_id: str | None = None
    ) -> StoredMemory:
        """Record a document as a new version; embedding, indexing and linking follow as jobs."""
        version, chunks = ingestion.record(
            self._tiers.records,
            project=self._call.project,
            file_name=file_name,
            content=content,
            resource_type=resource_type,
            conversation_id=conversation_id,
            job_id=self._call.id,
        )
        self._follow(version, chunks)
        what = f"stored as version {version.version}" if version.created else f"unchanged, version {version.version}"
        return StoredMemory(
            message=f"{file_name}: {what}, {len(version.chunk_ids)} chunks",
            resource_id=version.resource_id,
            file_name=file_name,
            version=version.version,
            state=version.state,
            chunk_count=len(version.chunk_ids),
            vector_ids=list(version.chunk_ids),
        )

    def retrieve(
        self, query: str, *, top_k: int = 10, conversation_id: str | None = None, scope: str = "project"
    ) -> RetrievedMemory:
        """The passages nearest to a query; with scope `conversation`, of that conversation alone."""
        if scope == "conversation" and conversation_id is None:
            raise InvalidArguments("scope 'conversation' needs a conversation_id", field="conversation_id")
        return retrieval.retrieve(
            self._tiers.records,
            self._tiers.vectors,
            self._tiers.graph,
            self._tiers.embedder,
            scope=Scope(self._call.project, conversation_id if scope == "conversation" else None),
            query=query,
            top_k=top_k,
        )

    def add_vectors(self, texts: Sequence[str], *, file_name: str) -> list[int]:
        """Store texts, each as one chunk with its vector, at once; their ids, in order."""
        starts = [sum(map(len, texts[:at])) for at in range(len(texts))]
        version = self._tiers.records.record(
            project=self._call.project,
            file_name=file_name,
            resource_type="texts",
            content="".join(texts),
            chunks=[ChunkText(text, at, at + len(text)) for text, at in zip(texts, starts, strict=True)],
            conversation_id=None,
            job_id=self._call.id,
        )
        rows = list(zip(version.chunk_ids, self._tiers.embedder.encode(texts), strict=True))
        self._tiers.records.add_vectors(rows, model=self._tiers.model)
        self._tiers.records.publish(version.resource_id, version.version)
        return list(version.chunk_ids)

    def search_similar(self, query: str, k: int = 10) -> list[dict[str, Any]]:
        """The `k` nearest chunks as records `{id, text, score, file_name}`, best first."""
        found = self.retrieve(query, top_k=k).retrieved_chunks
        return [
            {"id": hit.chunk_id, "text": hit.content, "score": hit.score, "file_name": hit.file_name} for hit in found
        ]

    def _follow(self, version: Version, chunks: Sequence[Chunk | ChunkText]) -> None:
        following = ingestion.following(
            version,
            chunks,
            model=self._tiers.model,
            principal=self._call.principal,
            trace_id=self._call.trace_id,
        )
        for name, specs in following.items():
            known = self._following.setdefault(name, [])
            known += [spec for spec in specs if spec not in known]
