"""Records: documents, versions, chunks and vector rows, in one transactional store.

Visibility of a version: recorded (its words can be found, if nothing older is visible) → searchable
(by meaning; it replaces the older version whole, in one transaction) → linked (in the graph).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ltmc_jobs.stores.contracts.scope import Scope
from ltmc_jobs.stores.contracts.vectors import Hit, Snapshot, VectorRow


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

    def searchable(self, chunk_ids: Iterable[int], *, scope: Scope) -> set[int]:
        """Which of these chunks a vector search may return: of visible versions in this scope."""

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

    def search_words(self, query: str, *, scope: Scope, limit: int) -> list[Hit]:
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
