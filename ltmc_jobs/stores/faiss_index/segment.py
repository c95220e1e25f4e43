"""Segment: an immutable run of rows in two files, mapped by every reader: the vectors, and whose they are.

A flat one is compared row by row. A graph (HNSW, numbers in 16 bits) is walked, at a cost that grows with the logarithm
of its rows; where much of it is wanted, it is compared row by row as well.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import faiss
import numpy as np

from ltmc_jobs.stores.faiss_index.manifest import Kind, SegmentNote
from ltmc_jobs.stores.faiss_index.tail import Ids, Matrix, Nearest
from ltmc_jobs.stores.snapshot_file import checksum, write_whole

LINKS = 32  # of a node in the graph
BUILD_WIDTH = 80  # candidates that are kept while a node is put in
WALK_WIDTH = 128  # candidates that are kept on a search: recall above .99 of exact search, at 0.2 ms
SHARE_COMPARED = 50  # where more than every fiftieth row is wanted, comparing all is faster than a walk


class Segment:
    """A segment that was found whole."""

    def __init__(self, note: SegmentNote, index: Any, chunks: Ids) -> None:
        self.note = note
        self._index = index
        self._chunk_ids, self._sorted_ids, self._order = chunks

    @classmethod
    def open(cls, directory: Path, note: SegmentNote, dimension: int) -> Segment | None:
        """Map its files, if they are whole."""
        vectors, chunks = note.files(directory)
        try:
            # Compared before mapping: reading past the end of a mapped file kills the process.
            if any(checksum(path) != wanted for path, wanted in (vectors, chunks)):
                return None
            index = faiss.read_index(str(vectors[0]), faiss.IO_FLAG_MMAP_IFC)
            found = np.load(chunks[0], mmap_mode="r")
        except (OSError, RuntimeError, ValueError):
            return None
        fits = (index.d, index.ntotal, found.shape) == (dimension, note.rows, (3, note.rows))
        return cls(note, index, found) if fits else None

    @property
    def rows(self) -> int:
        return self.note.rows

    def nearest(self, queries: Matrix, wanted: int) -> Nearest:
        """The best `wanted` rows of each query."""
        few = min(wanted, self.rows)
        if few < 1:
            return np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64)
        if self.note.kind == "flat":
            scores, places = self._index.search(queries, few)
        elif few * SHARE_COMPARED > self.rows:
            scores, places = self._storage.search(queries, few)
        else:
            width = faiss.SearchParametersHNSW(efSearch=max(WALK_WIDTH, 2 * few))  # type: ignore[attr-defined]
            scores, places = self._index.search(queries, few, params=width)
        return scores, np.where(places < 0, -1, self._chunk_ids[places])

    def vectors_of(self, chunk_ids: Ids) -> tuple[Ids, Matrix]:
        """Those of these chunks that are here, and their vectors."""
        at = np.searchsorted(self._sorted_ids, chunk_ids)
        at[at == self.rows] = 0
        is_here = self._sorted_ids[at] == chunk_ids if self.rows else np.zeros(len(chunk_ids), bool)
        found = chunk_ids[is_here]
        if not len(found):
            return found, np.empty((0, self._index.d), np.float32)
        return found, self._storage.reconstruct_batch(np.ascontiguousarray(self._order[at[is_here]]))

    def sample(self, count: int) -> list[int]:
        """Chunk ids from all over it."""
        return [int(chunk) for chunk in self._chunk_ids[:: max(1, self.rows // count)]]

    def loaded(self, directory: Path) -> Draft:
        """A copy in memory, to be added to."""
        draft = Draft(self.note.kind, self._index.d, self.note.since)
        draft.index = faiss.read_index(str(directory / self.note.vectors_name))
        draft.chunk_ids = [np.array(self._chunk_ids)]
        draft.seq = self.note.seq
        return draft

    @property
    def _storage(self) -> Any:
        return self._index if self.note.kind == "flat" else faiss.downcast_index(self._index.storage)


class Draft:
    """A segment in the making."""

    def __init__(self, kind: Kind, dimension: int, since: int) -> None:
        self.kind, self.since, self.seq = kind, since, since
        self.index = _empty(kind, dimension)
        self.chunk_ids: list[Ids] = []

    @property
    def rows(self) -> int:
        return int(self.index.ntotal)

    def add(self, vectors: Matrix, chunk_ids: Ids, *, seq: int) -> None:
        """Take rows in, of unit length, the last of which has this sequence number."""
        self.index.add(vectors)
        self.chunk_ids.append(chunk_ids)
        self.seq = seq

    def write(self, directory: Path) -> SegmentNote:
        """Write its files, each complete before it gets its name."""
        note = SegmentNote(self.kind, self.since, self.seq, self.rows, (0, 0), (0, 0))
        ids = np.concatenate(self.chunk_ids) if self.chunk_ids else np.empty(0, np.int64)
        order = np.argsort(ids, kind="stable")
        with write_whole(directory / note.vectors_name) as unfinished:
            faiss.write_index(self.index, str(unfinished))
        with write_whole(directory / note.chunks_name) as unfinished, unfinished.open("wb") as file:
            np.save(file, np.stack([ids, ids[order], order]))
        vectors, chunks = (checksum(directory / name) for name in (note.vectors_name, note.chunks_name))
        return SegmentNote(self.kind, self.since, self.seq, self.rows, vectors, chunks)


def _empty(kind: Kind, dimension: int) -> Any:
    if kind == "flat":
        return faiss.IndexFlatIP(dimension)
    sixteen_bits: Any = faiss.ScalarQuantizer.QT_fp16
    index = faiss.IndexHNSWSQ(dimension, sixteen_bits, LINKS, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = BUILD_WIDTH
    return index
