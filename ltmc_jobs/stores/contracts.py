"""What a store is: records, vectors and graph, each a Protocol that every backend of its role fulfils.

Visibility of a version: recorded (its words can be found, if nothing older is visible) → searchable
(by meaning; it replaces the older version whole, in one transaction) → linked (in the graph).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ltmc_jobs.errors import InvalidArguments

GRAPH_NAME = re.compile(r"[A-Z][A-Za-z_]*")


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
    job_id: str  # of the job that recorded it
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
class Snapshot:
    """What the records know of a project's index file: which rows it holds, and how to tell that it is whole."""

    project: str
    seq: int  # it holds the rows up to here
    model: str
    dimension: int
    rows: int
    size_bytes: int
    crc32: int


@dataclass(frozen=True, slots=True)
class Node:
    """A graph node. `key` is unique in its project and label. A property that is None is removed by a merge."""

    project: str
    label: str  # Document | Chunk | Message
    key: str
    properties: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_graph_name(self.label)
        _check_properties(self.properties)


@dataclass(frozen=True, slots=True)
class Edge:
    """A directed, typed edge between two nodes of one project."""

    project: str
    source: tuple[str, str]  # (label, key)
    relation: str  # HAS_CHUNK, RELATED_TO, REFERENCES, …
    target: tuple[str, str]
    properties: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in (self.source[0], self.relation, self.target[0]):
            check_graph_name(name)
        _check_properties(self.properties)


def check_graph_name(name: str) -> None:
    """Refuse a label or relation that could not stand in a Cypher statement as it is."""
    if not GRAPH_NAME.fullmatch(name):
        raise InvalidArguments(f"{name!r} is no graph label or relation: a capital, then letters and underscores")


def _check_properties(properties: Mapping[str, Any]) -> None:
    for name, value in properties.items():
        if name in ("project", "key") or not name:
            raise InvalidArguments(f"{name!r} cannot be the name of a graph property")
        listed = isinstance(value, list | tuple)
        parts = value if listed else [value]
        kinds = {type(part) for part in parts}
        # What a property graph can hold, so that every backend gives back what it was given.
        if len(kinds) > 1 or not kinds <= {str, int, float, bool} | (set() if listed else {type(None)}):
            raise InvalidArguments(
                f"graph property {name!r} must be text, a number, a truth value, or a list of one kind"
            )
        if any(isinstance(part, float) and not math.isfinite(part) for part in parts):
            raise InvalidArguments(f"graph property {name!r} must be a finite number")
        if any(isinstance(part, int) and not -(2**63) <= part < 2**63 for part in parts):
            raise InvalidArguments(f"graph property {name!r} must fit 64 bits")


class Records(Protocol):
    """Documents, versions, chunks and vector rows, in one transactional store."""

    def record(
        self,
        *,
        project: str,
        file_name: str,
        resource_type: str,
        content: str,
        chunks: Sequence[ChunkText],
        job_id: str,
        conversation_id: str | None = None,
    ) -> Version:
        """Record a new version with its chunks in one transaction.

        A document of the same job again, or content, type and conversation of its newest version again, returns that
        version.
        """

    def recorded(
        self,
        *,
        project: str,
        file_name: str,
        resource_type: str,
        content: str,
        job_id: str,
        conversation_id: str | None = None,
    ) -> Version | None:
        """The version that `record` would return instead of making one: no need to cut the text."""

    def version(self, resource_id: int, version: int) -> Version | None: ...

    def chunks(self, chunk_ids: Iterable[int]) -> dict[int, Chunk]:
        """Chunks by id: those of visible versions and, where a document has none yet, of its newest version."""

    def version_chunks(self, resource_id: int, version: int) -> list[Chunk]:
        """A version's chunks in the order of their index."""

    def searchable(self, chunk_ids: Iterable[int], *, project: str, conversation_id: str | None = None) -> set[int]:
        """Which of these chunks a vector search may return: of visible versions in this project and conversation."""

    def add_vectors(self, rows: Sequence[tuple[int, npt.NDArray[np.float32]]], *, model: str) -> None:
        """Write vector rows, idempotent by chunk id; another model or dimension is refused.

        Chunks that are gone, because a newer version replaced theirs meanwhile, are passed over.
        """

    def vectors_after(self, seq: int, *, project: str, limit: int | None = None) -> list[VectorRow]:
        """The vectors of a project's living chunks with a sequence number above `seq`, in order.

        Sequence numbers become readable in their order: no row appears below one that was already read.
        """

    def vector_model(self) -> tuple[str, int] | None:
        """Name and dimension of the model that made the stored vectors; None without any."""

    def projects(self) -> list[str]:
        """Projects that have documents, by name."""

    def snapshots(self, *, project: str | None = None) -> dict[str, Snapshot]:
        """The newest index file of each project that has one, or of the given one."""

    def note_snapshot(self, snapshot: Snapshot) -> None:
        """From now on this file is the project's index."""

    def publish(self, resource_id: int, version: int) -> bool:
        """Make a version searchable and supersede older ones, in one transaction. False if chunks lack vectors.

        True also when nothing is left to do: published before, or superseded by a newer visible version.
        """

    def mark_linked(self, resource_id: int, version: int) -> None:
        """Note that a searchable version is in the graph; in any other state nothing changes."""

    def search_words(self, query: str, *, project: str, limit: int, conversation_id: str | None = None) -> list[Hit]:
        """Chunks waiting to become searchable, of documents without a visible version, by the share of words found.

        A rare word counts for more than a frequent one, and stop words only where a query has no others.
        """

    def unfinished(self, *, older_than_seconds: float) -> list[Version]:
        """Versions that stopped on their way to linked: what a sweep sends again."""

    def count(self) -> dict[str, int]:
        """Number of resources, versions, chunks, vectors."""

    def check(self) -> None:
        """Raise if the file is gone, unreadable or not ours. Costs well under a millisecond."""

    def close(self) -> None: ...


class Vectors(Protocol):
    """Nearest neighbours over the vector rows: a cache of them, rebuilt when missing."""

    def search(
        self, vector: npt.NDArray[np.float32], *, project: str, k: int, conversation_id: str | None = None
    ) -> list[Hit]:
        """The `k` best visible chunks of a project (and conversation) by cosine, best first; fewer if fewer."""

    def fold(self, project: str | None = None) -> None:
        """Write a new snapshot where the tail is long enough, or the file is missing. One writer at a time.

        For one project an error is raised; for all of them it is logged, and the next one is folded.
        """

    def count(self) -> int:
        """Vectors that a search looks at."""

    def check(self) -> None:
        """Raise if a snapshot that should be there is missing or unreadable."""

    def close(self) -> None: ...


class Graph(Protocol):
    """Nodes and typed edges."""

    def merge(self, nodes: Sequence[Node], edges: Sequence[Edge]) -> None:
        """Create or update nodes and edges, batched, all or nothing, idempotent; ends of edges are made if missing."""

    def remove(self, project: str, label: str, keys: Sequence[str]) -> None:
        """Remove nodes with their edges."""

    def nodes(self, project: str, label: str, keys: Sequence[str]) -> list[Node]:
        """The nodes that exist under these keys, by key."""

    def neighbours(
        self,
        project: str,
        label: str,
        keys: Sequence[str],
        *,
        relations: Sequence[str] | None = None,
        without: Sequence[str] = (),
        limit: int = 100,
    ) -> list[Edge]:
        """Edges at depth one around the given nodes, both directions, ordered by source, relation and target.

        Of these relations alone, if given, and never of those in `without`.
        """

    def count(self) -> dict[str, int]:
        """Number of nodes and edges."""

    def check(self) -> None:
        """Raise if the store cannot answer."""

    def close(self) -> None: ...
