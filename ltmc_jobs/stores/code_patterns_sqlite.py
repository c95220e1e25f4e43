"""Attempts at code in the records' SQLite file."""
# ruff: noqa: S608

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ltmc_jobs.results.code_patterns import CodePattern
from ltmc_jobs.settings import Settings
from ltmc_jobs.stores.contracts import Attempt, Filter
from ltmc_jobs.stores.sqlite_file import SqliteFile

_COLUMNS = """
    id, function_name, file_name, module_name, {texts}, result, execution_time_ms, error_message, tags, created_at,
    vector_id
"""
_WHOLE = _COLUMNS.format(texts="input_prompt, generated_code")
_BRIEF = _COLUMNS.format(texts="'', ''")
_MATCHES = """
    p.project = :project AND (:result IS NULL OR p.result = :result)
    AND (:function_name IS NULL OR p.function_name = :function_name)
    AND (:file_name IS NULL OR p.file_name = :file_name)
    AND (:module_name IS NULL OR p.module_name = :module_name)
    AND (:since IS NULL OR p.created_at >= :since) AND (:until IS NULL OR p.created_at < :until)
"""
_ADD = """
    INSERT INTO code_patterns (project, function_name, file_name, module_name, input_prompt, generated_code, result,
        execution_time_ms, error_message, tags, created_at, job_id)
    VALUES (:project, :function_name, :file_name, :module_name, :input_prompt, :generated_code, :result,
        :execution_time_ms, :error_message, :tags, :now, :job_id)
    ON CONFLICT DO NOTHING
"""
_OF_JOB = f"SELECT {_WHOLE} FROM code_patterns WHERE project = :project AND job_id = :job_id"
_FOUND_BY = "UPDATE code_patterns SET resource_id = ?, vector_id = ? WHERE id = ?"
_OF_DOCUMENTS = f"""
    SELECT resource_id, {_WHOLE} FROM code_patterns
    WHERE project = ? AND resource_id IN (SELECT value FROM json_each(?))
"""
_CHUNKS = f"""
    SELECT c.id FROM code_patterns p JOIN resource_chunks c ON c.resource_id = p.resource_id AND c.visibility > 0
    WHERE {_MATCHES}
"""
_MATCHING = f"SELECT {_BRIEF} FROM code_patterns p WHERE {_MATCHES} ORDER BY p.created_at, p.id"


class SqliteCodePatterns:
    """The attempts of one installation. Open it after forking; threads may share it."""

    def __init__(self, path: Path) -> None:
        self._file = SqliteFile(path)

    def add(self, attempt: Attempt, *, project: str, job_id: str) -> CodePattern:
        """Keep an attempt, once for a job."""
        fields = asdict(attempt) | {"project": project, "job_id": job_id, "tags": json.dumps(list(attempt.tags))}
        fields["now"] = datetime.now(UTC).isoformat(timespec="microseconds")
        with self._file.writing() as database:
            database.execute(_ADD, fields)
            return _read(database.execute(_OF_JOB, fields).fetchone())

    def found_by(self, pattern_id: int, resource_id: int, vector_id: int) -> None:
        """Note the document, and its first chunk, that an attempt is found by."""
        with self._file.writing() as database:
            database.execute(_FOUND_BY, [resource_id, vector_id, pattern_id])

    def of_documents(self, resource_ids: Iterable[int], *, project: str) -> dict[int, CodePattern]:
        """The attempts that are found by these documents."""
        with self._file.reading() as database:
            rows = database.execute(_OF_DOCUMENTS, [project, json.dumps(list(resource_ids))])
            return {resource_id: _read(row) for resource_id, *row in rows}

    def chunks(self, wanted: Filter, *, project: str) -> list[int]:
        """The chunks that attempts are found by, of those that the filter lets through."""
        with self._file.reading() as database:
            rows = database.execute(_CHUNKS, asdict(wanted) | {"project": project})
            return [chunk_id for (chunk_id,) in rows]

    def matching(self, wanted: Filter, *, project: str) -> list[CodePattern]:
        """The attempts that the filter lets through, oldest first, without prompt and code."""
        with self._file.reading() as database:
            return [_read(row) for row in database.execute(_MATCHING, asdict(wanted) | {"project": project})]

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def from_settings(settings: Settings) -> SqliteCodePatterns:
    """The attempts beside the records."""
    return SqliteCodePatterns(settings.records_file)


def _read(row: Sequence[Any]) -> CodePattern:
    fields: list[Any] = [*row]
    fields[9] = json.loads(fields[9] or "[]")
    return CodePattern(*fields)
