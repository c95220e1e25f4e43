"""Tail: the rows newer than any file, in this process's memory."""

from __future__ import annotations

from collections.abc import Sequence

import faiss
import numpy as np
import numpy.typing as npt

from ltmc_jobs.stores.contracts import VectorRow

Matrix = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]
Nearest = tuple[npt.NDArray[np.float32], Ids]  # scores and chunk ids, a row for each query, best first; id -1: none

FIRST_ROWS = 64


class Tail:
    """Vectors in a matrix that doubles when it is full."""

    def __init__(self, dimension: int) -> None:
        self._matrix: Matrix = np.empty((FIRST_ROWS, dimension), np.float32)
        self._places: dict[int, int] = {}

    @property
    def rows(self) -> int:
        return len(self._places)

    def add(self, rows: Sequence[VectorRow]) -> None:
        """Take rows in; a chunk's newer vector takes the place of its older one."""
        places = [self._places.setdefault(row.chunk_id, len(self._places)) for row in rows]
        if self.rows > len(self._matrix):
            grown = np.empty((max(self.rows, 2 * len(self._matrix)), self._matrix.shape[1]), np.float32)
            grown[: len(self._matrix)] = self._matrix
            self._matrix = grown
        self._matrix[places] = normalised(np.stack([row.vector for row in rows]))

    def nearest(self, queries: Matrix, wanted: int) -> Nearest:
        """The best `wanted` rows of each query."""
        return best_of(queries, self._matrix[: self.rows], np.fromiter(self._places, np.int64, self.rows), wanted)

    def vectors_of(self, chunk_ids: Ids) -> tuple[Ids, Matrix]:
        """Those of these chunks that are here, and their vectors."""
        found = [chunk_id for chunk_id in chunk_ids.tolist() if chunk_id in self._places]
        places = [self._places[chunk_id] for chunk_id in found]
        return np.array(found, np.int64), self._matrix[places]


def best_of(queries: Matrix, matrix: Matrix, chunk_ids: Ids, wanted: int) -> Nearest:
    """The best rows of a matrix by inner product, by comparing with each."""
    few = min(wanted, len(matrix))
    if few < 1:
        return np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64)
    scores, places = faiss.knn(queries, matrix, few, metric=faiss.METRIC_INNER_PRODUCT)
    return scores, chunk_ids[places]


def normalised(vectors: npt.NDArray[np.float32]) -> Matrix:
    """A copy of unit length: FAISS normalises in place."""
    made = np.array(vectors, dtype=np.float32, order="C")
    faiss.normalize_L2(made)
    return made
