"""Records: documents, versions, chunks and vector rows, in one transactional store.

Visibility of a version: recorded (its words can be found, if nothing older is visible) → searchable
(by meaning; it replaces the older version whole, in one transaction) → linked (in the graph).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from ltmc_jobs.stores.contracts.scope import Scope
from ltmc_jobs.stores.contracts.vectors import Snapshot, VectorRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A document to be recorded, with what its caller says of it."""

    project: str
    file_name: str
    content: str
    resource_type: str = "document"
    conversation_id: str | None = None
    speaker: str | None = None
    occurred_at: str | None = None  # ISO 8601, UTC
    position: int | None = None  # its place in the conversation; None: behind what is there


@dataclass(frozen=True, slots=True)
class ChunkText:
    """A piece of a document: `content == document[start:end]`, offsets in characters."""

    content: str
    start: int
    end: int
    header: str = ""  # who said it and when: indexed and embedded before the content, and no part of it

    @property
    def text(self) -> str:
        """What is indexed and embedded."""
        return self.header + self.content


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
    header: str = ""
    conversation_id: str | None = None
    speaker: str | None = None
    occurred_at: str | None = None  # ISO 8601, UTC

    @property
    def text(self) -> str:
        """What is indexed and embedded."""
        return self.header + self.content


@dataclass(frozen=True, slots=True)
class WordsFound:
    """Chunks with words of a query, by BM25 within the scope."""

    scores: dict[int, float]
    ideal: float  # what a chunk of middle length with every word once would have
    strength: float = 1.0  # what the best of them says: little where the query has stop words alone


class Place(NamedTuple):
    """Where a chunk stands."""

    resource_id: int
    resource_type: str
    is_part: bool  # of a conversation


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Chunks, and what stands around them in their document or conversation."""

    places: dict[int, Place]  # of each, and of those near
    near: dict[int, dict[int, int]]  # of each: the distance of those one and two away


class Records(Protocol):
    """Documents, versions, chunks and vector rows, in one transactional store."""

    def record(self, document: Document, chunks: Sequence[ChunkText], *, job_id: str) -> Version:
        """Record a new version with its chunks in one transaction.

        A document of the same job again, or content, type, conversation, speaker and time of its newest version again,
        returns that version.
        """

    def recorded(self, document: Document, *, job_id: str) -> Version | None:
        """The version that `record` would return instead of making one: no need to cut the text."""

    def version(self, resource_id: int, version: int) -> Version | None: ...

    def chunks(self, chunk_ids: Iterable[int]) -> dict[int, Chunk]:
        """Chunks by id: those of visible versions and, where a document has none yet, of its newest version."""

    def version_chunks(self, resource_id: int, version: int) -> list[Chunk]:
        """A version's chunks in the order of their index."""

    def searchable(self, chunk_ids: Iterable[int], *, scope: Scope) -> set[int]:
        """Which of these chunks a vector search may return: of visible versions in this scope."""

    def readable(self, chunk_ids: Iterable[int], *, scope: Scope) -> set[int]:
        """Which of these chunks a search may return: as `searchable`, and those that wait and have nothing older."""

    def in_scope(self, scope: Scope, *, limit: int) -> list[int] | None:
        """The ids of all chunks of visible versions in a scope; None if they are more than `limit`."""

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

    def search_words(self, query: str, *, scope: Scope) -> WordsFound:
        """All readable chunks of a scope with words of a query.

        A rare word counts for more than a frequent one, stop words only where a query has no others, and words side by
        side as in the query for a little more. What lies outside of the scope changes nothing.
        """

    def surroundings(self, chunk_ids: Iterable[int]) -> Surroundings:
        """What stands around chunks: in their document, and in their conversation on the same day."""

    def unfinished(self, *, older_than_seconds: float) -> list[Version]:
        """Versions that stopped on their way to linked: what a sweep sends again."""

    def count(self) -> dict[str, int]:
        """Number of resources, versions, chunks, vectors."""

    def check(self) -> None:
        """Raise if the file is gone, unreadable or not ours. Costs well under a millisecond."""

    def close(self) -> None: ...
