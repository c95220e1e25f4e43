"""Vector rows by their texts, and their change to another model, in the records' SQLite file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ltmc_jobs.errors import ModelMismatch
from ltmc_jobs.settings import Settings
from ltmc_jobs.stores.sqlite_file import SqliteFile

# One row is enough of a text that thousands of chunks have.
KNOWN = """
    SELECT digest, vector FROM (
        SELECT wanted.value AS digest, (
            SELECT v.vector FROM vector_texts t JOIN vectors v ON v.chunk_id = t.chunk_id AND v.model = ?
            WHERE t.digest = wanted.value LIMIT 1) AS vector
        FROM json_each(?) wanted) WHERE vector IS NOT NULL
"""
NOTE_TEXT = """
    INSERT OR REPLACE INTO vector_texts (chunk_id, digest)
    SELECT chunk_id, :digest FROM vectors WHERE chunk_id = :chunk_id
"""
REMAINING = """
    SELECT c.id, c.header || c.content FROM vectors v JOIN resource_chunks c ON c.id = v.chunk_id
    WHERE v.chunk_id > ? AND NOT EXISTS (SELECT 1 FROM vectors_next n WHERE n.chunk_id = v.chunk_id)
    ORDER BY v.chunk_id LIMIT ?
"""
ADD = """
    INSERT OR REPLACE INTO vectors_next (chunk_id, digest, dimension, vector)
    SELECT id, :digest, :dimension, :vector FROM resource_chunks WHERE id = :chunk_id
"""
PROGRESS = "SELECT (SELECT count(*) FROM vectors_next), (SELECT count(*) FROM vectors)"
# Sequence numbers go on from the old ones, so that no reader takes a new row for one that it has.
SWITCH = (
    "CREATE TEMP TABLE switched AS SELECT chunk_id, project FROM vectors ORDER BY seq",
    "DELETE FROM vectors",
    """
    INSERT INTO vectors (chunk_id, project, model, dimension, vector)
    SELECT s.chunk_id, s.project, r.model, n.dimension, n.vector
    FROM temp.switched s JOIN vectors_next n ON n.chunk_id = s.chunk_id JOIN reindexing r ORDER BY s.rowid
    """,
    """
    INSERT INTO vector_texts (chunk_id, digest)
    SELECT n.chunk_id, n.digest FROM vectors_next n JOIN vectors v ON v.chunk_id = n.chunk_id
    """,
    "DELETE FROM vectors_next",
    "DELETE FROM reindexing",
    "DELETE FROM vector_snapshots",  # files of the old vectors
    "DROP TABLE temp.switched",
)


class SqliteVectorRows:
    """The vector rows of one installation. Open it after forking; threads may share it."""

    def __init__(self, path: Path) -> None:
        self._file = SqliteFile(path)

    def known(self, digests: Iterable[str], *, model: str) -> dict[str, npt.NDArray[np.float32]]:
        """The stored vectors of texts, of this model."""
        with self._file.reading() as database:
            wanted = json.dumps(list(set(digests)))
            return {
                digest: np.frombuffer(blob, dtype="<f4") for digest, blob in database.execute(KNOWN, [model, wanted])
            }

    def note_texts(self, texts: Iterable[tuple[int, str]]) -> None:
        """Note of which text the vectors of chunks were made."""
        with self._file.writing() as database:
            for chunk_id, digest in texts:
                database.execute(NOTE_TEXT, {"chunk_id": chunk_id, "digest": digest})

    def target(self) -> str | None:
        """The model to which all vectors are being changed."""
        with self._file.reading() as database:
            found = database.execute("SELECT model FROM reindexing").fetchone()
            return None if found is None else str(found[0])

    def begin(self, model: str) -> None:
        """Begin to change all vectors to a model, or go on with it."""
        with self._file.writing() as database:
            found = database.execute("SELECT model FROM reindexing").fetchone()
            if found is None or found[0] != model:
                database.execute("DELETE FROM vectors_next")
                database.execute("INSERT OR REPLACE INTO reindexing (id, model) VALUES (1, ?)", [model])

    def remaining(self, *, after: int, limit: int) -> list[tuple[int, str]]:
        """Chunks above an id that have a vector and no new one, with their texts."""
        with self._file.reading() as database:
            return [(int(chunk_id), str(text)) for chunk_id, text in database.execute(REMAINING, [after, limit])]

    def add(self, rows: Sequence[tuple[int, str, npt.NDArray[np.float32]]]) -> None:
        """Keep new vectors of chunks beside those in use."""
        made = [(chunk_id, digest, np.ascontiguousarray(vector, dtype="<f4")) for chunk_id, digest, vector in rows]
        if not all(np.isfinite(vector).all() for _, _, vector in made):
            raise ModelMismatch("The embedding model made a vector that is not finite")
        with self._file.writing() as database:
            for chunk_id, digest, vector in made:
                fields = {"chunk_id": chunk_id, "digest": digest, "dimension": len(vector), "vector": vector.tobytes()}
                database.execute(ADD, fields)

    def progress(self) -> tuple[int, int]:
        """How many new vectors there are, and of how many."""
        with self._file.reading() as database:
            made, total = database.execute(PROGRESS).fetchone()
            return int(made), int(total)

    def switch(self) -> bool:
        """Put the new vectors in the place of the others, in one transaction."""
        with self._file.writing() as database:
            if database.execute(REMAINING, [0, 1]).fetchone() is not None:
                return False
            for statement in SWITCH:
                database.execute(statement)
            return True

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def from_settings(settings: Settings) -> SqliteVectorRows:
    """The vector rows beside the records."""
    return SqliteVectorRows(settings.records_file)
