"""The systems, each behind the same few calls. A system's library is imported when it is opened."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from benchmarks.vector_peers.vectors import DIMENSION, NEAREST, Matrix

CONVERSATION = 40  # chunks of the narrow scope


class Subject(Protocol):
    """An index of vectors by their place."""

    def fill(self, stored: Matrix) -> None:
        """Store all, as it does best, and leave it on the disk."""

    def open(self) -> None:
        """Open what is on the disk, as a process that searches does."""

    def search(self, query: Matrix) -> Sequence[int]:
        """The places of the ten nearest."""

    def search_many(self, queries: Matrix) -> None:
        """The same for a hundred at once."""

    def add(self, place: int, vector: Matrix) -> None:
        """One more, to be found by the next search; on the disk where the system can do that for one."""


class Ltmc:
    """Ours whole: rows in SQLite, their visibility, segments and graph."""

    def __init__(self, folder: Path) -> None:
        from ltmc_jobs.stores.contracts import Scope

        self._folder = folder
        self._everything = Scope("default")

    def open(self) -> None:
        from ltmc_jobs.stores.records_sqlite import SqliteRecords
        from ltmc_jobs.stores.vectors_faiss import FaissVectors

        self.records = SqliteRecords(self._folder / "ltmc.db")
        self.vectors = FaissVectors(self._folder / "index", self.records, "benchmark", DIMENSION)

    def fill(self, stored: Matrix) -> None:
        self.open()
        self._store(stored[:CONVERSATION], "conversation", conversation_id="one")
        for begin in range(CONVERSATION, len(stored), 1000):
            self._store(stored[begin : begin + 1000], str(begin))
            self.vectors.fold("default")
        self.vectors.build("default")

    def search(self, query: Matrix) -> Sequence[int]:
        return [hit.chunk_id - 1 for hit in self.vectors.search(query, scope=self._everything, k=NEAREST)]

    def search_many(self, queries: Matrix) -> None:
        self.vectors.search_many(queries, scope=self._everything, k=NEAREST)

    def search_conversation(self, query: Matrix) -> None:
        from ltmc_jobs.stores.contracts import Scope

        assert len(self.vectors.search(query, scope=Scope("default", "one"), k=NEAREST)) == NEAREST

    def add(self, place: int, vector: Matrix) -> None:
        self._store(vector.reshape(1, -1), f"more {place}")
        self.vectors.fold("default")

    def _store(self, vectors: Matrix, name: str, **more: Any) -> None:
        from ltmc_jobs.stores.contracts import ChunkText, Document

        chunks = [ChunkText("x", place, place + 1) for place in range(len(vectors))]
        document = Document(project="default", file_name=name, content="x" * len(vectors), **more)
        version = self.records.record(document, chunks, job_id=name)
        self.records.add_vectors(list(zip(version.chunk_ids, vectors, strict=True)), model="benchmark")
        self.records.publish(version.resource_id, version.version)


class Flat:
    """FAISS alone, comparing with every vector; the file is written whole at the end of a fill, and read whole."""

    def __init__(self, folder: Path) -> None:
        self._file = str(folder / "flat.faiss")

    def fill(self, stored: Matrix) -> None:
        import faiss

        index = faiss.IndexFlatIP(DIMENSION)
        index.add(stored)
        faiss.write_index(index, self._file)

    def open(self) -> None:
        import faiss

        faiss.omp_set_num_threads(1)
        self._index = faiss.read_index(self._file)

    def search(self, query: Matrix) -> Sequence[int]:
        found: list[int] = self._index.search(query.reshape(1, -1), NEAREST)[1][0].tolist()
        return found

    def search_many(self, queries: Matrix) -> None:
        self._index.search(queries, NEAREST)

    def add(self, place: int, vector: Matrix) -> None:
        assert place == self._index.ntotal
        self._index.add(vector.reshape(1, -1))


class Usearch:
    """A graph in memory; what was saved is mapped, and copied whole into memory before one can be added."""

    def __init__(self, folder: Path) -> None:
        self._file = str(folder / "usearch.index")

    def fill(self, stored: Matrix) -> None:
        from usearch.index import Index

        index = Index(ndim=DIMENSION, metric="ip", dtype="f16")
        index.add(np.arange(len(stored)), stored, threads=1)
        index.save(self._file)

    def open(self) -> None:
        from usearch.index import Index

        self._index = Index.restore(self._file, view=True)
        self._is_view = True

    def search(self, query: Matrix) -> Sequence[int]:
        found: list[int] = self._index.search(query, NEAREST, threads=1).keys.tolist()
        return found

    def search_many(self, queries: Matrix) -> None:
        self._index.search(queries, NEAREST, threads=1)

    def add(self, place: int, vector: Matrix) -> None:
        if self._is_view:
            from usearch.index import Index

            self._index, self._is_view = Index.restore(self._file, view=False), False
        self._index.add(place, vector, threads=1)


class SqliteVec:
    """SQLite's extension: every search compares with all; one that is added is on the disk."""

    def __init__(self, folder: Path) -> None:
        self._file = str(folder / "vec.db")

    def fill(self, stored: Matrix) -> None:
        self.open()
        self._database.execute(f"CREATE VIRTUAL TABLE v USING vec0(e float[{DIMENSION}])")
        for begin in range(0, len(stored), 1000):
            page = stored[begin : begin + 1000]
            with self._database:
                rows = [(begin + n, vector.tobytes()) for n, vector in enumerate(page)]
                self._database.executemany("INSERT INTO v (rowid, e) VALUES (?, ?)", rows)

    def open(self) -> None:
        import apsw
        import sqlite_vec

        self._database = apsw.Connection(self._file)
        self._database.execute("PRAGMA journal_mode = WAL").fetchall()
        self._database.execute("PRAGMA synchronous = NORMAL")
        self._database.enable_load_extension(True)
        self._database.load_extension(sqlite_vec.loadable_path())

    def search(self, query: Matrix) -> Sequence[int]:
        asked = "SELECT rowid FROM v WHERE e MATCH ? AND k = ? ORDER BY distance"
        return [int(place) for (place,) in self._database.execute(asked, (query.tobytes(), NEAREST))]

    def search_many(self, queries: Matrix) -> None:
        for query in queries:
            self.search(query)

    def add(self, place: int, vector: Matrix) -> None:
        self._database.execute("INSERT INTO v (rowid, e) VALUES (?, ?)", (place, vector.tobytes()))


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A system: what to install, and up to how many vectors it is worth the wait."""

    name: str
    kind: type[Any]
    module: str = "ltmc"
    requirements: tuple[str, ...] = ()  # none: it runs in this environment
    most: int = sys.maxsize


OURS = Contender(name="ltmc", kind=Ltmc)
COMMON = ("numpy>=2,<3", "psutil>=7,<8")
CONTENDERS = (
    OURS,
    Contender(name="faiss flat", kind=Flat),
    Contender(name="usearch", kind=Usearch, module="usearch", requirements=("usearch>=2.26,<3", *COMMON), most=100_000),
    Contender(
        name="sqlite-vec",
        kind=SqliteVec,
        module="sqlite-vec",
        requirements=("sqlite-vec>=0.1.9,<0.2", "apsw>=3.54,<4", *COMMON),
        most=100_000,
    ),
)
