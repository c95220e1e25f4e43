"""Vectors: nearest neighbours over the vector rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ltmc_jobs.stores.contracts.scope import Scope


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


class Vectors(Protocol):
    """Nearest neighbours over the vector rows: a cache of them, rebuilt when missing."""

    def search(self, vector: npt.NDArray[np.float32], *, scope: Scope, k: int) -> list[Hit]:
        """The `k` best visible chunks of a scope by cosine, best first; fewer if there are fewer.

        The scope is applied before candidates are taken: what lies outside of it changes nothing.
        """

    def search_many(self, vectors: npt.NDArray[np.float32], *, scope: Scope, k: int) -> list[list[Hit]]:
        """`search` for each row of `vectors`, at a fraction of the cost of one."""

    def scores(self, vector: npt.NDArray[np.float32], chunk_ids: Sequence[int], *, project: str) -> dict[int, float]:
        """The cosines of these chunks of a project, as far as they have vectors."""

    def fold(self, project: str | None = None) -> None:
        """Write a new snapshot where the tail is long enough, or the file is missing. One writer at a time.

        For one project an error is raised; for all of them it is logged, and the next one is folded.
        """

    def is_build_due(self, project: str) -> bool:
        """Whether `build` has something to do."""

    def build(self, project: str) -> None:
        """Do what a fold leaves undone because it takes long; searches go on, and find the same, meanwhile."""

    def count(self) -> int:
        """Vectors that a search looks at."""

    def check(self) -> None:
        """Raise if a snapshot that should be there is missing or unreadable."""

    def close(self) -> None: ...
