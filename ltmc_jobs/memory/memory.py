"""Memory: what tools call to remember and recall, within the project of one call."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, astuple
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ltmc_jobs.errors import InvalidArguments
from ltmc_jobs.jobs import LINK_MESSAGES, LOG_RETRIEVAL
from ltmc_jobs.llm.embedding import Embedder
from ltmc_jobs.memory import ingestion, retrieval
from ltmc_jobs.memory.kinds import WEIGHTS, Kind, Weights
from ltmc_jobs.memory.naming import check_file_name
from ltmc_jobs.memory.retrieval import Embed, Match, Question
from ltmc_jobs.queues.contract import JobSpec, following_job_id
from ltmc_jobs.queues.envelope import Call
from ltmc_jobs.results.memory import KindWeights, RetrievalWeights, RetrievedMemory, StoredDocument, StoredMemory
from ltmc_jobs.stores.contracts import (
    ChunkText,
    Document,
    Graph,
    Records,
    Scope,
    VectorRows,
    Vectors,
    Version,
    WeightTable,
    digest_of,
)


class Tiers(Protocol):
    """What a memory stands on."""

    @property
    def records(self) -> Records: ...
    @property
    def weights(self) -> WeightTable: ...
    @property
    def vectors(self) -> Vectors: ...
    @property
    def vector_rows(self) -> VectorRows: ...
    @property
    def graph(self) -> Graph: ...
    @property
    def embedder(self) -> Embedder: ...
    @property
    def model(self) -> str: ...


class Memory:
    """The four tiers for one call; jobs that must follow are put into `following`."""

    def __init__(
        self, tiers: Tiers, call: Call, following: dict[str, list[JobSpec]], embed: Embed | None = None
    ) -> None:
        self._tiers = tiers
        self._call = call
        self._following = following
        self._embed = embed or self._embedded

    def store(self, documents: Sequence[dict[str, Any]]) -> StoredMemory:
        """Record documents (the fields of Document), each as a new version; embedding, indexing, linking follow."""
        for document in documents:
            check_file_name(document["file_name"])
        recorded = [
            ingestion.record(
                self._tiers.records, Document(project=self._call.project, **document), job_id=self._call.id
            )
            for document in documents
        ]
        self._follow(recorded)
        stored = [_stored(version) for version, _ in recorded]
        last, version = stored[-1], recorded[-1][0]
        if len(stored) == 1:
            what = f"stored as version {last.version}" if version.created else f"unchanged, version {last.version}"
            message = f"{last.file_name}: {what}, {last.chunk_count} chunks"
        else:
            message = f"{len(stored)} documents, {sum(version.created for version, _ in recorded)} of them changed"
        return StoredMemory(
            message=message,
            resource_id=last.resource_id,
            file_name=last.file_name,
            version=last.version,
            state=last.state,
            chunk_count=sum(one.chunk_count for one in stored),
            vector_ids=[vector_id for one in stored for vector_id in one.vector_ids],
            documents=stored,
        )

    def scope(self, **limits: Any) -> Scope:
        """What a search of this call may look at: the project, or what of it the fields of Scope say."""
        return Scope(self._call.project, **limits)

    def retrieve(
        self,
        query: str,
        *,
        scope: Scope | None = None,
        top_k: int = 10,
        match: Match = "both",
        explain: bool = False,
        only: Collection[int] | None = None,
    ) -> RetrievedMemory:
        """The passages that answer a query best, within the project or a narrower scope, or of these chunks alone."""
        question = Question(query, scope or Scope(self._call.project), top_k, match, explain, only)
        return retrieval.retrieve(self._tiers, self._embed, question, self.weights())

    def log(self, conversation_id: str, query: str, found: RetrievedMemory) -> None:
        """Have the query kept as a message of its conversation, linked to the chunks that were found; by a job."""
        chunk_ids = [chunk.chunk_id for chunk in found.retrieved_chunks]
        spec = JobSpec(
            kind=LOG_RETRIEVAL,
            args={"conversation_id": conversation_id, "query": query, "chunk_ids": chunk_ids},
            id=following_job_id(self._call.id, "logged"),
            project=self._call.project,
            principal=self._call.principal,
            trace_id=self._call.trace_id,
        )
        self._following["logged"] = [spec]

    def link_messages(self, message_ids: Sequence[int]) -> None:
        """Have messages linked in the graph to the chunks that they used; by a job, behind those of documents."""
        known = self._following.setdefault("linked", [])
        spec = JobSpec(
            kind=LINK_MESSAGES,
            args={"message_ids": list(message_ids)},
            id=following_job_id(self._call.id, "references"),
            project=self._call.project,
            principal=self._call.principal,
            trace_id=self._call.trace_id,
            depends_on=tuple(one.id for one in known[-1:]),
        )
        known.append(spec)

    def weights(self) -> dict[Kind, Weights]:
        """How much each signal counts in this project, by kind of memory."""
        own = self._tiers.weights.read(self._call.project)
        return WEIGHTS | {Kind(kind): Weights(*values) for kind, values in own.items()}

    def told_weights(self) -> RetrievalWeights:
        """The weights, and which of them are this project's own."""
        own = self._tiers.weights.read(self._call.project)
        told = [KindWeights(kind.value, **asdict(w), is_own=kind in own) for kind, w in self.weights().items()]
        return RetrievalWeights(told)

    def set_weights(self, kind: str, meaning: float | None, words: float | None, neighbours: float | None) -> None:
        """Set the given weights of a kind, the others stay; without any the built-in ones count again."""
        given = (meaning, words, neighbours)
        if given == (None, None, None):
            self._tiers.weights.write(self._call.project, kind, None)
            return
        before = astuple(self.weights()[Kind(kind)])
        first, second, third = (old if new is None else new for new, old in zip(given, before, strict=True))
        if not first + second:
            raise InvalidArguments("meaning and words cannot both count nothing", field="words")
        self._tiers.weights.write(self._call.project, kind, (first, second, third))

    def add_vectors(self, texts: Sequence[str], *, file_name: str) -> list[int]:
        """Store texts, each as one chunk with its vector, at once; their ids, in order."""
        return self.add_document(texts, file_name=file_name, resource_type="texts")[1]

    def add_document(self, texts: Sequence[str], *, file_name: str, resource_type: str) -> tuple[int, list[int]]:
        """Store a document cut into these texts, searchable when this returns; its id and its chunks'."""
        starts = [sum(map(len, texts[:at])) for at in range(len(texts))]
        whole = Document(
            project=self._call.project, file_name=file_name, resource_type=resource_type, content="".join(texts)
        )
        chunks = [ChunkText(text, at, at + len(text)) for text, at in zip(texts, starts, strict=True)]
        version = self._tiers.records.record(whole, chunks, job_id=self._call.id)
        if version.state == "recorded":
            rows = list(zip(version.chunk_ids, self._tiers.embedder.encode(texts), strict=True))
            self._tiers.records.add_vectors(rows, model=self._tiers.model)
            self._tiers.records.publish(version.resource_id, version.version)
        return version.resource_id, list(version.chunk_ids)

    def search_similar(self, query: str, k: int = 10) -> list[dict[str, Any]]:
        """The `k` nearest chunks as records `{id, text, score, file_name}`, best first."""
        found = self.retrieve(query, top_k=k, match="meaning").retrieved_chunks
        return [
            {"id": hit.chunk_id, "text": hit.content, "score": hit.score, "file_name": hit.file_name} for hit in found
        ]

    def _embedded(self, text: str) -> npt.NDArray[np.float32]:
        vector: npt.NDArray[np.float32] = self._tiers.embedder.encode([text])[0]
        return vector

    def _follow(self, recorded: Sequence[ingestion.Recorded]) -> None:
        model = self._tiers.model
        digests = [digest_of(chunk.text) for version, own in recorded if version.state == "recorded" for chunk in own]
        following = ingestion.following(
            recorded,
            model=model,
            principal=self._call.principal,
            trace_id=self._call.trace_id,
            known=self._tiers.vector_rows.known(digests, model=model) if digests else {},
        )
        for name, specs in following.items():
            known = self._following.setdefault(name, [])
            known += [spec for spec in specs if spec not in known]


def _stored(version: Version) -> StoredDocument:
    return StoredDocument(
        resource_id=version.resource_id,
        file_name=version.file_name,
        version=version.version,
        state=version.state,
        chunk_count=len(version.chunk_ids),
        vector_ids=list(version.chunk_ids),
    )
