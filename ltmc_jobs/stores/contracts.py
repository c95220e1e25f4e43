"""What a store is: records, vectors and graph, each a Protocol that every backend of its role fulfils.

Visibility of a version: recorded (its words can be found, if nothing older is visible) → searchable
(by meaning; it replaces the older version whole, in one transaction) → linked (in the graph).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt



@dataclass(frozen=True, slots=True)
class ChunkText:
    """A piece of a document: `content == document[start:end]`, offsets in characters."""

    content: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a document, as recorded."""

    resource_id: int
    version: int
    project: str
    file_name: str
    resource_type: str
    state: str  # recorded | searchable | linked | superseded
    chunk_ids: tuple[int, ...]
    created: bool  # False: the same content, or the same job, had recorded it before


@dataclass(frozen=True, slots=True)
class Chunk:
    """A stored chunk with the document it belongs to."""

    chunk_id: int
    resource_id: int
    version: int
    chunk_index: int
    content: str
    start: int
    end: int
    project: str
    file_name: str
    resource_type: str
    created_at: str  # ISO 8601, UTC


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk id with its score (inner product for vectors, share of the query's words for words)."""

    chunk_id: int
    score: float


@dataclass(frozen=True, slots=True)
class VectorRow:
    """A vector as a row; `seq` grows with every insert, so that a tail is `seq > n`."""

    seq: int
    chunk_id: int
    project: str
    vector: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Node:
    """A graph node. `key` is unique in its project and label."""

    project: str
    label: str  # Document | Chunk | Message
    key: str
    properties: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Edge:
    """A directed, typed edge between two nodes of one project."""

    project: str
    source: tuple[str, str]  # (label, key)
    relation: str  # HAS_CHUNK, RELATED_TO, REFERENCES, …
    target: tuple[str, str]
    properties: dict[str, Any] = field(default_factory=dict)


class Records(Protocol):
    """Documents, versions, chunks and vector rows, in one transactional store."""

    def record(
        self, *, project: str, file_name: str, resource_type: str, content: str, chunks: Sequence[ChunkText], job_id: str
    ) -> Version:
        """Record a new version with its chunks in one transaction; the same `job_id` again returns the same version."""

    def version(self, resource_id: int, version: int) -> Version | None: ...

    def chunks(self, chunk_ids: Iterable[int], *, visible_only: bool = True) -> dict[int, Chunk]:
        """Chunks by id; superseded versions are left out unless asked for."""

    def version_chunks(self, resource_id: int, version: int) -> list[Chunk]:
        """A version's chunks in the order of their index."""

    def add_vectors(self, rows: Sequence[tuple[int, npt.NDArray[np.float32]]], *, model: str) -> None:
        """Write vector rows for chunks, idempotent by chunk id; a wrong dimension or model is refused."""

    def vectors_after(self, seq: int) -> list[VectorRow]:
        """The vectors of living chunks with a sequence number above `seq`, in order."""

    def publish(self, resource_id: int, version: int) -> bool:
        """Make a version searchable and supersede older ones, in one transaction. False if chunks lack vectors."""

    def mark_linked(self, resource_id: int, version: int) -> None: ...

    def search_words(self, query: str, *, project: str, limit: int) -> list[Hit]:
        """Chunks recorded but not yet searchable, whose document has no visible version, by the share of words found."""

    def unfinished(self, *, older_than_seconds: float) -> list[Version]:
        """Versions that stopped on their way to linked: what a sweep sends again."""

    def count(self) -> dict[str, int]:
        """Number of resources, versions, chunks, vectors."""

    def check(self) -> None:
        """Raise if the file is gone, unreadable or not ours. Costs well under a millisecond."""

    def close(self) -> None: ...


class Vectors(Protocol):
    """Nearest neighbours over the vector rows: a cache of them, rebuilt when missing."""

    def search(self, vector: npt.NDArray[np.float32], *, project: str, k: int) -> list[Hit]:
        """The `k` best visible chunks of a project, best first; fewer when there are fewer."""

    def fold(self) -> None:
        """Write a new snapshot that holds the tail, when the tail is long enough. One writer at a time."""

    def count(self) -> int:
        """Vectors that a search looks at."""

    def check(self) -> None:
        """Raise if the snapshot that should be there is missing or unreadable."""

    def close(self) -> None: ...


class Graph(Protocol):
    """Nodes and typed edges."""

    def merge(self, nodes: Sequence[Node], edges: Sequence[Edge]) -> None:
        """Create or update nodes and edges, batched, all or nothing, idempotent."""

    def remove(self, project: str, label: str, keys: Sequence[str]) -> None:
        """Remove nodes with their edges."""

    def neighbours(
        self, project: str, label: str, keys: Sequence[str], *, relations: Sequence[str] | None = None, limit: int = 100
    ) -> list[Edge]:
        """Edges at depth one around the given nodes, both directions, in a stable order."""

    def count(self) -> dict[str, int]:
        """Number of nodes and edges."""

    def check(self) -> None:
        """Raise if the store cannot answer."""

    def close(self) -> None: ...
