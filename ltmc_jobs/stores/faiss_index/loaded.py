"""Loaded: what one process holds of a project's index, and the best of all its parts."""

from __future__ import annotations

from dataclasses import dataclass

import faiss
import numpy as np

from ltmc_jobs.stores.contracts import Snapshot
from ltmc_jobs.stores.faiss_index.segment import Segment
from ltmc_jobs.stores.faiss_index.tail import Ids, Matrix, Tail
from ltmc_jobs.stores.snapshot_file import Signature


@dataclass(slots=True)
class Loaded:
    """Segments, oldest first, and the rows behind them."""

    noted: Snapshot | None  # what the records say should be there
    signatures: tuple[Signature | None, ...]  # of the files as they were when looked at
    segments: list[Segment]  # those before the first that is damaged
    is_whole: bool
    tail: Tail
    seq: int  # the last row that is held

    @property
    def is_damaged(self) -> bool:
        return self.noted is not None and not self.is_whole

    @property
    def rows(self) -> int:
        return self.tail.rows + sum(segment.rows for segment in self.segments)

    @property
    def _parts(self) -> list[Segment | Tail]:
        return [*self.segments, self.tail]

    def nearest(self, queries: Matrix, wanted: int) -> list[dict[int, float]]:
        """For each query the best rows as chunk id → cosine, best first; equal scores by id, so that answers repeat."""
        # A team of threads for one query waits for its turn on busy cores, 24 ms instead of 0.4; processes share the
        # load.
        faiss.omp_set_num_threads(1)
        parts = [part.nearest(queries, wanted) for part in self._parts]
        scores, ids = (np.concatenate(found, axis=1) for found in zip(*parts, strict=True))
        best = np.lexsort((ids, -scores), axis=1)[:, :wanted]
        listed = zip(
            np.take_along_axis(ids, best, 1).tolist(), np.take_along_axis(scores, best, 1).tolist(), strict=True
        )
        return [{chunk: score for chunk, score in zip(*row, strict=True) if chunk >= 0} for row in listed]

    def vectors_of(self, chunk_ids: Ids) -> tuple[Ids, Matrix]:
        """Those of these chunks that have vectors, and the vectors."""
        parts = [part.vectors_of(chunk_ids) for part in self._parts]
        found, vectors = zip(*parts, strict=True)
        return np.concatenate(found), np.concatenate(vectors)
