"""What was ingested: one row a document, so that unchanged files are skipped and an interrupted run goes on."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from api.ingest_plan import Found

SCHEMA = """
CREATE TABLE IF NOT EXISTS documents (
    memory TEXT NOT NULL,  -- the installation that it was sent to
    name TEXT NOT NULL,
    path TEXT NOT NULL,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    job_ids TEXT NOT NULL,  -- one a part, in order
    state TEXT NOT NULL,  -- sent | stored | searchable | failed
    PRIMARY KEY (memory, name)
)
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """A document as it was last sent."""

    size: int
    mtime_ns: int
    sha256: str
    job_ids: tuple[str, ...]
    state: str


class Manifest:
    """One file a project, for the owner alone; every change is on disk when its method returns."""

    def __init__(self, file: Path, memory: str) -> None:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(file, os.O_CREAT | os.O_RDWR, 0o600))
        self._memory = memory
        self._connection = sqlite3.connect(file, timeout=30, isolation_level=None)
        # WAL makes a commit cheap, and two ingests at once wait for each other at most that long.
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._connection.execute(SCHEMA)

    def find(self, name: str) -> Entry | None:
        """The document as it was last sent to this memory."""
        row = self._connection.execute(
            "SELECT size, mtime_ns, sha256, job_ids, state FROM documents WHERE memory = ? AND name = ?",
            (self._memory, name),
        ).fetchone()
        return Entry(row[0], row[1], row[2], tuple(row[3].split()), row[4]) if row else None

    def note_sent(self, found: Found, sha256: str, job_ids: Sequence[str]) -> None:
        """A document is about to be sent under these ids: sent again under them, it is the same jobs."""
        self._connection.execute(
            "INSERT OR REPLACE INTO documents VALUES (?, ?, ?, ?, ?, ?, ?, 'sent')",
            (
                self._memory,
                found.name,
                os.fsencode(found.path).decode("utf-8", "replace"),
                found.size,
                found.mtime_ns,
                sha256,
                " ".join(job_ids),
            ),
        )

    def note_state(self, name: str, state: str) -> None:
        """Where the document stands now."""
        self._connection.execute(
            "UPDATE documents SET state = ? WHERE memory = ? AND name = ?", (state, self._memory, name)
        )

    def note_touched(self, found: Found) -> None:
        """The same content with another time."""
        self._connection.execute(
            "UPDATE documents SET size = ?, mtime_ns = ? WHERE memory = ? AND name = ?",
            (found.size, found.mtime_ns, self._memory, found.name),
        )

    def close(self) -> None:
        self._connection.close()
