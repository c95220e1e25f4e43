"""The corpus in the records' SQLite file: reads alone, each one statement however many documents it is asked for."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ltmc_jobs.settings import Settings
from ltmc_jobs.stores.contracts import StoredDocument
from ltmc_jobs.stores.sqlite_file import SqliteFile

_NAMED = """
    SELECT r.id, r.file_name, r.resource_type FROM json_each(:wanted) wanted
    CROSS JOIN resources r ON r.project = :project AND r.file_name = wanted.value
"""
_NUMBERED = """
    SELECT r.id, r.file_name, r.resource_type FROM json_each(:wanted) wanted
    CROSS JOIN resources r ON r.id = wanted.value AND r.project = :project
"""
_TYPES = "SELECT DISTINCT resource_type FROM resource_versions WHERE project = ? ORDER BY resource_type"
_HOLDERS = """
    SELECT c.id, c.resource_id FROM json_each(:wanted) wanted CROSS JOIN resource_chunks c ON c.id = wanted.value
"""
_VECTORS = """
    SELECT r.id, v.vector FROM json_each(:wanted) wanted CROSS JOIN resources r ON r.id = wanted.value
    JOIN resource_chunks c ON c.resource_id = r.id AND c.version = r.version
    JOIN vectors v ON v.chunk_id = c.id
"""
_TEXTS = "SELECT r.id, r.content FROM json_each(:wanted) wanted CROSS JOIN resources r ON r.id = wanted.value"
_BESIDE = """
    SELECT (
        SELECT r.file_name FROM resource_versions v JOIN resources r ON r.id = v.resource_id
        WHERE v.project = own.project AND v.conversation_id = own.conversation_id AND v.state <> 'superseded'
          AND v.position <= own.position AND (v.position, v.resource_id) < (own.position, own.resource_id)
          AND v.resource_id <> own.resource_id
        ORDER BY v.position DESC, v.resource_id DESC LIMIT 1
    ), (
        SELECT r.file_name FROM resource_versions v JOIN resources r ON r.id = v.resource_id
        WHERE v.project = own.project AND v.conversation_id = own.conversation_id AND v.state <> 'superseded'
          AND v.position >= own.position AND (v.position, v.resource_id) > (own.position, own.resource_id)
          AND v.resource_id <> own.resource_id
        ORDER BY v.position, v.resource_id LIMIT 1
    ) FROM resource_versions own WHERE own.resource_id = :resource_id AND own.version = :version
"""


class SqliteCorpus:
    """The documents of one installation. Open it after forking; threads may share it."""

    def __init__(self, path: Path) -> None:
        self._file = SqliteFile(path)

    def named(self, project: str, file_names: Iterable[str]) -> dict[str, StoredDocument]:
        """Documents by their names."""
        return {found.file_name: found for found in self._documents(_NAMED, project, list(file_names))}

    def numbered(self, project: str, resource_ids: Iterable[int]) -> dict[int, StoredDocument]:
        """Documents by their ids."""
        return {found.resource_id: found for found in self._documents(_NUMBERED, project, list(resource_ids))}

    def types(self, project: str) -> list[str]:
        """The types that the documents of a project have, or had."""
        with self._file.reading() as database:
            return [name for (name,) in database.execute(_TYPES, [project])]

    def holders(self, chunk_ids: Iterable[int]) -> dict[int, int]:
        """The document that each chunk is of."""
        with self._file.reading() as database:
            return dict(database.execute(_HOLDERS, {"wanted": _listed(chunk_ids)}))

    def vectors(self, resource_ids: Iterable[int]) -> dict[int, npt.NDArray[np.float32]]:
        """The mean direction of a document's visible chunks."""
        rows: dict[int, list[npt.NDArray[np.float32]]] = defaultdict(list)
        with self._file.reading() as database:
            for resource_id, blob in database.execute(_VECTORS, {"wanted": _listed(resource_ids)}):
                rows[resource_id].append(np.frombuffer(blob, dtype="<f4"))
        sums = {resource_id: np.sum(vectors, axis=0, dtype=np.float32) for resource_id, vectors in rows.items()}
        return {
            resource_id: np.asarray(total / (np.linalg.norm(total) or 1), np.float32)
            for resource_id, total in sums.items()
        }

    def texts(self, resource_ids: Iterable[int]) -> dict[int, str]:
        """Whole documents."""
        with self._file.reading() as database:
            return dict(database.execute(_TEXTS, {"wanted": _listed(resource_ids)}))

    def beside(self, resource_id: int, version: int) -> tuple[str | None, str | None]:
        """The names of the documents before and after this one in its conversation."""
        with self._file.reading() as database:
            row = database.execute(_BESIDE, {"resource_id": resource_id, "version": version}).fetchone()
            return (row[0], row[1]) if row else (None, None)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _documents(self, statement: str, project: str, wanted: list[str] | list[int]) -> list[StoredDocument]:
        with self._file.reading() as database:
            rows = database.execute(statement, {"project": project, "wanted": json.dumps(wanted, ensure_ascii=False)})
            return [StoredDocument(*row) for row in rows]


def from_settings(settings: Settings) -> SqliteCorpus:
    """The documents in DB_PATH."""
    return SqliteCorpus(settings.records_file)


def _listed(ids: Iterable[int]) -> str:
    return json.dumps([int(one) for one in ids])
