"""Records in one SQLite file: every write is one transaction, every reader sees whole versions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlite_utils import Database

from ltmc_jobs.errors import ModelMismatch, NotFound
from ltmc_jobs.settings import Settings
from ltmc_jobs.stores import records_sql as sql
from ltmc_jobs.stores.contracts import (
    Chunk,
    ChunkText,
    Document,
    Place,
    Scope,
    Snapshot,
    Surroundings,
    VectorRow,
    Version,
    WordsFound,
)
from ltmc_jobs.stores.schema import STEPS
from ltmc_jobs.stores.sqlite_file import SqliteFile
from ltmc_jobs.stores.words import terms_of
from ltmc_jobs.stores.words_sqlite import find_words, scope_terms, within


class SqliteRecords:
    """The records of one installation. Open it after forking; threads may share it."""

    def __init__(self, path: Path, steps: Sequence[str] = STEPS) -> None:
        self._file = SqliteFile(path, steps)

    def record(self, document: Document, chunks: Sequence[ChunkText], *, job_id: str) -> Version:
        """Record a new version with its chunks, or return the one that this job or this content made before."""
        with self._file.writing() as database:
            fields = _fields(document, job_id)
            if (before := _before(database, fields)) is not None:
                return before
            fields |= {"content": document.content, "now": _now(), "chunk_count": len(chunks)}
            fields["resource_id"] = resource_id = _written(database, sql.WRITE_RESOURCE, fields)
            version = _written(database, sql.WRITE_VERSION, fields)
            waits = bool(database.execute(sql.IS_VISIBLE, fields).fetchone()[0])
            database.execute(sql.HIDE_WAITING, fields)
            scope = scope_terms(document)
            chunk_ids = tuple(
                _written(database, sql.WRITE_CHUNK, [resource_id, version, n, *_row(chunk), scope, int(not waits)])
                for n, chunk in enumerate(chunks)
            )
            named = document.project, document.file_name, document.resource_type
            return Version(resource_id, version, *named, "recorded", job_id, chunk_ids, True)

    def recorded(self, document: Document, *, job_id: str) -> Version | None:
        """The version that `record` would return instead of making one."""
        with self._file.reading() as database:
            return _before(database, _fields(document, job_id))

    def version(self, resource_id: int, version: int) -> Version | None:
        """A version as it stands; None if there is none."""
        with self._file.reading() as database:
            return _version(database, sql.VERSION, [resource_id, version])

    def chunks(self, chunk_ids: Iterable[int]) -> dict[int, Chunk]:
        """Chunks by id, without those that wait behind a visible version."""
        with self._file.reading() as database:
            rows = database.execute(sql.READABLE_BY_ID, [_ids(chunk_ids)])
            return {row[0]: Chunk(*row) for row in rows}

    def version_chunks(self, resource_id: int, version: int) -> list[Chunk]:
        """A version's chunks in the order of their index."""
        with self._file.reading() as database:
            return [Chunk(*row) for row in database.execute(sql.CHUNKS_OF_VERSION, [resource_id, version])]

    def searchable(self, chunk_ids: Iterable[int], *, scope: Scope) -> set[int]:
        """Which of these chunks belong to a visible version in this scope."""
        return self._visible(chunk_ids, scope, 2)

    def readable(self, chunk_ids: Iterable[int], *, scope: Scope) -> set[int]:
        """Which of these chunks a search may return."""
        return self._visible(chunk_ids, scope, 1)

    def in_scope(self, scope: Scope, *, limit: int) -> list[int] | None:
        """The ids of all chunks of visible versions in a scope; None if they are more than `limit`."""
        with self._file.reading() as database:
            rows = database.execute(*within(scope, sql.IN_SCOPE, limit=limit + 1))
            found = [chunk_id for (chunk_id,) in rows]
            return found if len(found) <= limit else None

    def add_vectors(self, rows: Sequence[tuple[int, npt.NDArray[np.float32]]], *, model: str) -> None:
        """Write vector rows, idempotent by chunk id; another model or dimension is refused."""
        made = [(chunk_id, np.ascontiguousarray(vector, dtype="<f4").reshape(-1)) for chunk_id, vector in rows]
        if not all(np.isfinite(vector).all() for _, vector in made):
            raise ModelMismatch(f"The embedding model {model} made a vector that is not finite")
        with self._file.writing() as database:
            stored = _model(database)
            for chunk_id, vector in made:
                stored = stored or (model, len(vector))
                _check_model(stored, (model, len(vector)))
                fields = {"model": model, "dimension": len(vector), "vector": vector.tobytes(), "chunk_id": chunk_id}
                database.execute(sql.WRITE_VECTOR, fields)

    def vectors_after(self, seq: int, *, project: str, limit: int | None = None) -> list[VectorRow]:
        """The vectors of a project's living chunks above `seq`, in order."""
        most = -1 if limit is None else limit
        with self._file.reading() as database:
            found = database.execute(sql.VECTORS_AFTER, [project, seq, most])
            return [VectorRow(n, chunk, name, np.frombuffer(blob, dtype="<f4")) for n, chunk, name, blob in found]

    def vector_model(self) -> tuple[str, int] | None:
        """Name and dimension of the model that made the stored vectors."""
        with self._file.reading() as database:
            return _model(database)

    def projects(self) -> list[str]:
        """Projects that have documents, by name."""
        with self._file.reading() as database:
            return [name for (name,) in database.execute(sql.PROJECTS)]

    def snapshots(self, *, project: str | None = None) -> dict[str, Snapshot]:
        """The newest index file of each project that has one, or of the given one."""
        with self._file.reading() as database:
            return {row[0]: Snapshot(*row) for row in database.execute(sql.SNAPSHOTS, {"project": project})}

    def note_snapshot(self, snapshot: Snapshot) -> None:
        """From now on this file is the project's index."""
        noted = snapshot
        with self._file.writing() as database:
            database.execute(
                sql.NOTE_SNAPSHOT,
                [noted.project, noted.seq, noted.model, noted.dimension, noted.rows, noted.size_bytes, noted.crc32],
            )

    def publish(self, resource_id: int, version: int) -> bool:
        """Make a version searchable and supersede older ones; False if chunks lack vectors."""
        with self._file.writing() as database:
            found = _version(database, sql.VERSION, [resource_id, version])
            if found is None:
                raise NotFound(f"There is no version {version} of document {resource_id}")
            if found.state != "recorded":
                return True
            if database.execute(sql.UNEMBEDDED, [resource_id, version]).fetchone():
                return False
            # Older chunks take their vectors along by the foreign key, and their words by the trigger.
            for statement in (sql.SHOW_VERSION, sql.MOVE_STATES, sql.DROP_OLDER, sql.SHOW_CHUNKS):
                database.execute(statement, {"id": resource_id, "version": version})
            return True

    def mark_linked(self, resource_id: int, version: int) -> None:
        """Note that a searchable version is in the graph."""
        with self._file.writing() as database:
            database.execute(sql.MARK_LINKED, [resource_id, version])

    def search_words(self, query: str, *, scope: Scope) -> WordsFound:
        """All readable chunks of a scope with words of a query, by BM25 within the scope."""
        with self._file.reading() as database:
            return find_words(database, query, scope)

    def surroundings(self, chunk_ids: Iterable[int]) -> Surroundings:
        """What stands around chunks."""
        near: dict[int, dict[int, int]] = {int(chunk_id): {} for chunk_id in chunk_ids}
        with self._file.reading() as database:
            for chunk_id, other, distance in database.execute(sql.NEAR, [_ids(near)]):
                near[chunk_id][other] = distance
            everyone = near.keys() | {other for others in near.values() for other in others}
            rows = database.execute(sql.PLACES, [_ids(everyone)])
            return Surroundings({chunk_id: Place(*place) for chunk_id, *place in rows}, near)

    def unfinished(self, *, older_than_seconds: float) -> list[Version]:
        """Versions that stopped on their way to linked."""
        with self._file.reading() as database:
            return [_read(row) for row in database.execute(sql.UNFINISHED, [_now(-older_than_seconds)])]

    def count(self) -> dict[str, int]:
        """Number of resources, versions, chunks, vectors."""
        with self._file.reading() as database:
            found = database.execute(sql.COUNTS).fetchone()
            return dict(zip(("resources", "versions", "chunks", "vectors"), found, strict=True))

    def check(self) -> None:
        """Raise if the file is gone, unreadable or not ours."""
        self._file.check()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _visible(self, chunk_ids: Iterable[int], scope: Scope, visibility: int) -> set[int]:
        statement = sql.VISIBLE if scope.is_project else sql.VISIBLE_WITHIN
        asked = within(scope, statement, ids=_ids(chunk_ids), visibility=visibility)
        with self._file.reading() as database:
            return {chunk_id for (chunk_id,) in database.execute(*asked)}


def from_settings(settings: Settings) -> SqliteRecords:
    """The records in DB_PATH."""
    return SqliteRecords(settings.records_file)


def _now(seconds: float = 0.0) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat(timespec="microseconds")


def _ids(chunk_ids: Iterable[int]) -> str:
    # One parameter however many ids there are: SQLite limits the number of parameters.
    return json.dumps([int(chunk_id) for chunk_id in chunk_ids])


def _read(row: Sequence[Any]) -> Version:
    resource_id, version, project, file_name, resource_type, state, job_id, listed = row
    chunk_ids = tuple(json.loads(listed))
    return Version(resource_id, version, project, file_name, resource_type, state, job_id, chunk_ids, False)


def _version(database: Database, statement: str, values: Sequence[Any] | dict[str, Any]) -> Version | None:
    row = database.execute(statement, values).fetchone()
    return None if row is None else _read(row)


def _fields(document: Document, job_id: str) -> dict[str, Any]:
    """What tells one version from another."""
    digest = hashlib.sha256(document.content.encode()).hexdigest()
    return asdict(document) | {"digest": digest, "job_id": job_id}


def _row(chunk: ChunkText) -> list[Any]:
    terms = terms_of(chunk.text)
    written = [chunk.content, chunk.start, chunk.end, chunk.header]
    return [*written, terms.parts, terms.again, terms.often, terms.size]


def _before(database: Database, fields: dict[str, Any]) -> Version | None:
    """The version that this job made of this document, or the newest one if it is the same."""
    return _version(database, sql.VERSION_OF_JOB, fields) or _version(database, sql.VERSION_OF_CONTENT, fields)


def _written(database: Database, statement: str, values: Sequence[Any] | dict[str, Any]) -> int:
    # Fetched to the end: a statement that still returns rows keeps the transaction from committing.
    return int(database.execute(statement, values).fetchall()[0][0])


def _model(database: Database) -> tuple[str, int] | None:
    found = database.execute(sql.MODEL).fetchone()
    return None if found is None else (str(found[0]), int(found[1]))


def _check_model(stored: tuple[str, int], wanted: tuple[str, int]) -> None:
    if stored != wanted:
        raise ModelMismatch(
            f"The stored vectors are {stored[0]} with {stored[1]} numbers, these are {wanted[0]} with {wanted[1]}: "
            f"set EMBEDDING_MODEL back to {stored[0]}, or run `ltmc reindex`"
        )
