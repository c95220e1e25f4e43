"""The weights of searches in the records' SQLite file."""

from __future__ import annotations

from pathlib import Path

from ltmc_jobs.settings import Settings
from ltmc_jobs.stores.sqlite_file import SqliteFile

_READ = "SELECT kind, meaning, words, neighbours FROM retrieval_weights WHERE project = ?"
_WRITE = "INSERT OR REPLACE INTO retrieval_weights (project, kind, meaning, words, neighbours) VALUES (?, ?, ?, ?, ?)"
_REMOVE = "DELETE FROM retrieval_weights WHERE project = ? AND kind = ?"


class SqliteWeights:
    """The weights of one installation. Open it after forking; threads may share it."""

    def __init__(self, path: Path) -> None:
        self._file = SqliteFile(path)

    def read(self, project: str) -> dict[str, tuple[float, float, float]]:
        """The kinds that the project has weights of its own for."""
        with self._file.reading() as database:
            return {kind: tuple(values) for kind, *values in database.execute(_READ, [project])}

    def write(self, project: str, kind: str, weights: tuple[float, float, float] | None) -> None:
        """Set the weights of a kind, or go back to the built-in ones."""
        with self._file.writing() as database:
            if weights is None:
                database.execute(_REMOVE, [project, kind])
            else:
                database.execute(_WRITE, [project, kind, *weights])

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def from_settings(settings: Settings) -> SqliteWeights:
    """The weights beside the records."""
    return SqliteWeights(settings.records_file)
