"""Vectors as FAISS indexes: segments in files, mapped by every reader, and the newer rows in memory.

The rows in the records are the truth. `<directory>/<project>/<seq>.json` names the segments that hold those up to
`seq`; the records name the manifest that counts, so that a missing or damaged file is known and never believed.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import structlog

from ltmc_jobs.errors import LtmcError, ModelMismatch, StoreUnavailable
from ltmc_jobs.settings import Settings
from ltmc_jobs.stores.contracts import Hit, Records, Scope
from ltmc_jobs.stores.faiss_index import manifest
from ltmc_jobs.stores.faiss_index.fold import Fold
from ltmc_jobs.stores.faiss_index.loaded import Loaded
from ltmc_jobs.stores.faiss_index.plan import Sizes
from ltmc_jobs.stores.faiss_index.shelf import Shelf
from ltmc_jobs.stores.faiss_index.tail import Matrix, best_of, normalised

NARROW = 5000  # chunks: a scope of no more is compared chunk by chunk, in 2 ms

log = structlog.get_logger("ltmc.stores")


class FaissVectors:
    """The index of one installation. Open it after forking; threads may share it."""

    def __init__(
        self, directory: Path, records: Records, model: str, dimension: int, *, sizes: Sizes | None = None
    ) -> None:
        self._records, self._dimension = records, dimension
        self._lock = threading.Lock()
        self._shelf = Shelf(directory, records, model, dimension)
        self._fold = Fold(self._shelf, self._lock, sizes or Sizes())

    def search(self, vector: npt.NDArray[np.float32], *, scope: Scope, k: int) -> list[Hit]:
        """The `k` best visible chunks of a scope, best first, by cosine."""
        return self.search_many(np.asarray(vector).reshape(1, -1), scope=scope, k=k)[0]

    def search_many(self, vectors: npt.NDArray[np.float32], *, scope: Scope, k: int) -> list[list[Hit]]:
        """`search` for each of many vectors, at a fraction of the cost of one."""
        queries = self._accepted(vectors)
        if k < 1:
            return [[] for _ in queries]
        with self._lock:
            loaded = self._shelf.refresh(scope.project)
            if not scope.is_project and (found := self._within(loaded, queries, scope, k)) is not None:
                return found
            return self._across(loaded, queries, scope, k)

    def scores(self, vector: npt.NDArray[np.float32], chunk_ids: Sequence[int], *, project: str) -> dict[int, float]:
        """The cosines of these chunks of a project, as far as they have vectors."""
        query = self._accepted(vector)[0]
        with self._lock:
            found, vectors = self._shelf.refresh(project).vectors_of(np.array(chunk_ids, np.int64))
        # Not `vectors @ query`: a matrix library's own threads would wait for busy cores.
        return dict(zip(found.tolist(), np.einsum("nd,d->n", vectors, query).tolist(), strict=True))

    def fold(self, project: str | None = None) -> None:
        """Write the tail into a segment where it is long enough, or a file is missing; of one project, or of all."""
        if project is not None:
            self._written(project, build=False)
            return
        for each in self._records.projects():
            try:
                self._written(each, build=False)
            except LtmcError as error:
                log.error("index not folded", project=each, error=str(error))

    def is_build_due(self, project: str) -> bool:
        """Whether `build` has something to do."""
        return self._fold.next_step(project, build=True) is not None

    def build(self, project: str) -> None:
        """Grow the graph by what has come since, and drop what is dead: minutes, where there are 100,000 rows."""
        self._written(project, build=True)

    def count(self) -> int:
        """Vectors that a search looks at, in all projects."""
        with self._lock:
            return sum(self._shelf.refresh(project).rows for project in self._records.projects())

    def check(self) -> None:
        """Raise if a file that should be there is missing or unreadable."""
        for project, noted in self._records.snapshots().items():
            # A checksum takes too long for a probe: files of the right length are believed until they are loaded.
            if self._shelf.is_known_bad(noted) or not manifest.is_there(self._shelf.directory_of(project), noted):
                raise StoreUnavailable(
                    f"The index of project {project} is missing or damaged; searches read the rows until it is rebuilt"
                )

    def close(self) -> None:
        """Let go of the mapped files."""
        with self._lock:
            self._shelf.clear()

    def _written(self, project: str, *, build: bool) -> None:
        try:
            self._fold.write(project, build=build)
        except (OSError, RuntimeError) as error:
            raise StoreUnavailable(f"The index of project {project} cannot be written") from error

    def _accepted(self, vectors: npt.NDArray[np.float32]) -> Matrix:
        queries = normalised(np.atleast_2d(np.asarray(vectors)))
        if queries.shape[1] != self._dimension:
            raise ModelMismatch(f"The query has {queries.shape[1]} numbers, the index {self._dimension}")
        if not np.isfinite(queries).all():
            raise ModelMismatch("The embedding model made a query that is not finite")
        return queries

    def _within(self, loaded: Loaded, queries: Matrix, scope: Scope, k: int) -> list[list[Hit]] | None:
        """The answer by comparing with every chunk of a narrow scope; None where it is wide."""
        while (inside := self._records.in_scope(scope, limit=NARROW)) is not None:
            found, vectors = loaded.vectors_of(np.array(inside, np.int64))
            # What is visible and not held was published since the rows were read.
            if len(found) < len(inside) and self._shelf.extend(scope.project, loaded):
                continue
            scores, ids = best_of(queries, vectors, found, k)
            order = np.lexsort((ids, -scores), axis=1)
            scores, ids = np.take_along_axis(scores, order, 1), np.take_along_axis(ids, order, 1)
            return [
                [Hit(chunk_id, score) for chunk_id, score in zip(*row, strict=True)]
                for row in zip(ids.tolist(), scores.tolist(), strict=True)
            ]
        return None

    def _across(self, loaded: Loaded, queries: Matrix, scope: Scope, k: int) -> list[list[Hit]]:
        """The answer by taking the nearest of all, and more of them while too few lie in the scope."""
        # More than asked for, because chunks of replaced versions stay in a segment until it is written anew.
        wanted, waiting = k + k // 2 + 8, list(range(len(queries)))
        answers: list[list[Hit]] = [[] for _ in queries]
        while waiting:
            found = loaded.nearest(queries[waiting], wanted)
            candidates = {chunk_id for one in found for chunk_id in one}
            visible = self._records.searchable(candidates, scope=scope)
            # What was dropped may have been replaced since the rows were read: then the newer ones are there now.
            if len(visible) < len(candidates) and self._shelf.extend(scope.project, loaded):
                continue
            for place, one in zip(waiting, found, strict=True):
                answers[place] = [Hit(chunk, score) for chunk, score in one.items() if chunk in visible][:k]
            waiting = [place for place in waiting if len(answers[place]) < k] if wanted < loaded.rows else []
            wanted *= 4
        return answers


def from_settings(settings: Settings, records: Records, model: str, dimension: int) -> FaissVectors:
    """The index in FAISS_INDEX_PATH."""
    return FaissVectors(settings.vectors_directory, records, model, dimension)
