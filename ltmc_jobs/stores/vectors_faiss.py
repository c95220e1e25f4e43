"""Vectors as FAISS indexes: a snapshot file per project, mapped by every reader, and the newer rows in memory.

The rows in the records are the truth. `<directory>/<project>/<seq>.faiss` holds those up to `seq`; the records name
the file that counts, with its length and checksum, so that a missing or damaged one is known and never believed.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import faiss
import numpy as np
import numpy.typing as npt
import structlog

from ltmc_jobs.errors import InvalidArguments, LtmcError, ModelMismatch, StoreUnavailable
from ltmc_jobs.private_files import make_private
from ltmc_jobs.settings import PROJECT_PATTERN, Settings
from ltmc_jobs.stores.contracts import Hit, Records, Scope, Snapshot, VectorRow
from ltmc_jobs.stores.snapshot_file import Signature, checksum, signature_of, sync, writer

PAGE_ROWS = 4096  # vectors read at once: 6 MB at 384 dimensions

log = structlog.get_logger("ltmc.stores")


@dataclass(slots=True)
class _Loaded:
    """What this process holds of one project."""

    noted: Snapshot | None  # the file that should be there
    signature: Signature | None  # of the file as it was when looked at
    snapshot: faiss.Index | None  # None: no such file, or not one to believe
    tail: faiss.Index
    seq: int  # the last row that snapshot and tail hold

    @property
    def damaged(self) -> bool:
        return self.noted is not None and self.snapshot is None

    @property
    def rows(self) -> int:
        return int(self.tail.ntotal) + (int(self.snapshot.ntotal) if self.snapshot is not None else 0)


class FaissVectors:
    """The index of one installation. Open it after forking; threads may share it."""

    def __init__(
        self,
        directory: Path,
        records: Records,
        model: str,
        dimension: int,
        *,
        fold_rows: int = 256,
        fold_share: float = 0.1,
    ) -> None:
        self._directory = directory.absolute()
        self._records, self._model, self._dimension = records, model, dimension
        self._fold_rows, self._fold_share = fold_rows, fold_share
        self._lock = threading.Lock()
        self._loaded: dict[str, _Loaded] = {}

    def search(self, vector: npt.NDArray[np.float32], *, scope: Scope, k: int) -> list[Hit]:
        """The `k` best visible chunks of a scope, best first, by cosine."""
        project = scope.project
        query = _normalised(np.asarray(vector).reshape(1, -1))
        if query.shape[1] != self._dimension:
            raise ModelMismatch(f"The query has {query.shape[1]} numbers, the index {self._dimension}")
        if not np.isfinite(query).all():
            raise ModelMismatch("The embedding model made a query that is not finite")
        if k < 1:
            return []
        with self._lock:
            loaded = self._refresh(project)
            # More than asked for, because chunks of replaced versions stay in the index until it is folded.
            wanted = k + k // 2 + 8
            while True:
                found = _nearest(loaded, query, min(wanted, loaded.rows))
                visible = self._records.searchable(found, scope=scope)
                # What was dropped may have been replaced since the rows were read: then the newer ones are there now.
                if len(visible) < len(found) and self._extend(project, loaded):
                    continue
                if len(visible) >= k or wanted >= loaded.rows:
                    return [Hit(chunk_id, score) for chunk_id, score in found.items() if chunk_id in visible][:k]
                wanted *= 4

    def scores(self, vector: npt.NDArray[np.float32], chunk_ids: Sequence[int], *, project: str) -> dict[int, float]:
        """The cosines of these chunks of a project, as far as they have vectors."""
        query = _normalised(np.asarray(vector).reshape(1, -1))[0]
        found: dict[int, float] = {}
        with self._lock:
            loaded = self._refresh(project)
            for index in (loaded.snapshot, loaded.tail):
                if index is None:
                    continue
                for chunk_id in chunk_ids:
                    with suppress(RuntimeError):  # not in this one
                        found[chunk_id] = float(index.reconstruct(chunk_id) @ query)
        return found

    def fold(self, project: str | None = None) -> None:
        """Write a new snapshot where the tail is long enough, or the file is missing; of one project, or of all."""
        if project is not None:
            self._fold_if_due(project)
            return
        for each in self._records.projects():
            try:
                self._fold_if_due(each)
            except LtmcError as error:
                log.error("index not folded", project=each, error=str(error))

    def count(self) -> int:
        """Vectors that a search looks at, in all projects."""
        with self._lock:
            return sum(self._refresh(project).rows for project in self._records.projects())

    def check(self) -> None:
        """Raise if a snapshot that should be there is missing or unreadable."""
        for project, noted in self._records.snapshots().items():
            signature = signature_of(self._file(noted))
            loaded = self._loaded.get(project)
            # A checksum takes too long for a probe: a file of the right length is believed until it is loaded.
            known_bad = loaded is not None and loaded.damaged and (loaded.noted, loaded.signature) == (noted, signature)
            if signature is None or signature[1] != noted.size_bytes or known_bad:
                raise StoreUnavailable(
                    f"The index of project {project} is missing or damaged; searches read the rows until it is rebuilt"
                )

    def close(self) -> None:
        """Let go of the mapped files."""
        with self._lock:
            self._loaded.clear()

    def _fold_if_due(self, project: str) -> None:
        with self._lock:
            due = self._is_due(self._refresh(project))
        if due:
            try:
                self._fold_project(project)
            except (OSError, RuntimeError) as error:
                raise StoreUnavailable(f"The index of project {project} cannot be written") from error

    def _is_due(self, loaded: _Loaded) -> bool:
        kept = loaded.rows - int(loaded.tail.ntotal)
        return loaded.damaged or int(loaded.tail.ntotal) >= max(self._fold_rows, kept * self._fold_share)

    def _file(self, snapshot: Snapshot) -> Path:
        return self._project_directory(snapshot.project) / f"{snapshot.seq}.faiss"

    def _project_directory(self, project: str) -> Path:
        if not PROJECT_PATTERN.fullmatch(project):
            raise InvalidArguments(f"{project!r} is not the name of a project")
        return self._directory / project

    def _refresh(self, project: str) -> _Loaded:
        """What this process holds of a project, brought up to the newest file and row."""
        noted = self._noted(project)
        loaded = self._loaded.get(project)
        signature = signature_of(self._file(noted)) if noted else None
        if loaded is None or (loaded.noted, loaded.signature) != (noted, signature):
            self._check_rows_fit()
            snapshot = self._open(noted) if noted else None
            # A newer file may have replaced this one just now; reading every row instead would be right, but slow.
            if noted and snapshot is None and self._noted(project) != noted:
                return self._refresh(project)
            held = noted.seq if noted and snapshot is not None else 0
            loaded = _Loaded(noted, signature, snapshot, _empty_index(self._dimension), held)
        self._extend(project, loaded)
        # Kept only when its rows are read too: half a tail would be believed for ever.
        self._loaded[project] = loaded
        return loaded

    def _noted(self, project: str) -> Snapshot | None:
        return self._records.snapshots(project=project).get(project)

    def _extend(self, project: str, loaded: _Loaded) -> bool:
        """Add the rows that came since; true if there were any."""
        before = loaded.seq
        for rows in self._pages(project, before):
            _add(loaded.tail, rows)
            loaded.seq = rows[-1].seq
        return loaded.seq != before

    def _pages(self, project: str, seq: int) -> Iterator[list[VectorRow]]:
        while rows := self._records.vectors_after(seq, project=project, limit=PAGE_ROWS):
            # Every time: the first rows may come, of another model, after this reader has opened an empty index.
            self._check_rows_fit()
            yield rows
            if len(rows) < PAGE_ROWS:
                return
            seq = rows[-1].seq

    def _check_rows_fit(self) -> None:
        stored = self._records.vector_model()
        if stored not in (None, (self._model, self._dimension)):
            raise ModelMismatch(
                f"The stored vectors are {stored[0]} with {stored[1]} numbers, the model in use is {self._model} with "
                f"{self._dimension}: set EMBEDDING_MODEL back to {stored[0]}, or give the new one its own LTMC_HOME"
            )

    def _open(self, noted: Snapshot) -> faiss.Index | None:
        """The mapped file, if it is whole and of the model of the rows."""
        path = self._file(noted)
        if self._records.vector_model() not in (None, (noted.model, noted.dimension)):
            return None
        try:
            # Compared before mapping: reading past the end of a mapped file kills the process.
            if checksum(path) != (noted.size_bytes, noted.crc32):
                return None
            index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
        except (OSError, RuntimeError):
            return None
        return index if (index.d, index.ntotal) == (self._dimension, noted.rows) else None

    def _fold_project(self, project: str) -> None:
        directory = self._project_directory(project)
        make_private(directory)
        with writer(directory) as alone:
            if not alone:
                return  # another process is writing just this
            with self._lock:
                # Read again under the lock: another process may have folded before this one got it.
                if not self._is_due(self._refresh(project)):
                    return
            if (noted := self._write(project, directory)) is None:
                return
            self._records.note_snapshot(noted)
            # Whoever has an older file mapped keeps its pages; whoever is about to open it will find the newer.
            for old in directory.glob("*.faiss*"):
                if old.name != f"{noted.seq}.faiss":
                    old.unlink(missing_ok=True)

    def _write(self, project: str, directory: Path) -> Snapshot | None:
        """Write the rows as they are now into a file, complete before it gets its name."""
        index, seq = _empty_index(self._dimension), 0
        for rows in self._pages(project, 0):
            _add(index, rows)
            seq = rows[-1].seq
        if (stored := self._records.vector_model()) is None:
            return None
        path = directory / f"{seq}.faiss"
        unfinished = path.with_name(f"{path.name}.tmp")
        os.close(os.open(unfinished, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600))
        faiss.write_index(index, str(unfinished))
        unfinished.chmod(0o600)
        sync(unfinished)
        unfinished.rename(path)
        sync(directory)
        return Snapshot(project, seq, *stored, int(index.ntotal), *checksum(path))


def from_settings(settings: Settings, records: Records, model: str, dimension: int) -> FaissVectors:
    """The index in FAISS_INDEX_PATH."""
    return FaissVectors(settings.vectors_directory, records, model, dimension)


def _empty_index(dimension: int) -> faiss.Index:
    return faiss.IndexIDMap2(faiss.IndexFlatIP(dimension))


def _add(index: faiss.Index, rows: list[VectorRow]) -> None:
    vectors = _normalised(np.stack([row.vector for row in rows]))
    index.add_with_ids(vectors, np.array([row.chunk_id for row in rows], dtype=np.int64))


def _normalised(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    made = np.array(vectors, dtype=np.float32, order="C")  # a copy: FAISS normalises in place
    faiss.normalize_L2(made)
    return made


def _nearest(loaded: _Loaded, query: npt.NDArray[np.float32], wanted: int) -> dict[int, float]:
    """The best of snapshot and tail together, best first; equal scores by id, so that answers repeat."""
    # A team of threads for one query waits for its turn on busy cores, 24 ms instead of 0.4; processes share the load.
    faiss.omp_set_num_threads(1)
    found: dict[int, float] = {}
    for index in (loaded.snapshot, loaded.tail):
        if index is None or not index.ntotal or not wanted:
            continue
        scores, ids = index.search(query, min(wanted, int(index.ntotal)))
        found |= {int(i): float(score) for i, score in zip(ids[0], scores[0], strict=True) if i >= 0}
    return dict(sorted(found.items(), key=lambda hit: (-hit[1], hit[0]))[:wanted])
