"""The tables of the SQLite file, as numbered steps that are run when it is opened and never on a request.

A step that was released is never edited: a change is a new file with the next number. Texts are UTF-8, times ISO 8601
in UTC.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from sqlite_utils import Database

from ltmc_jobs.errors import Misconfigured

STEPS: tuple[str, ...] = tuple(file.read_text() for file in sorted(Path(__file__).parent.glob("[0-9][0-9]_*.sql")))


def migrate(database: Database, path: Path, steps: Sequence[str] = STEPS) -> None:
    """Bring the file to the newest schema, once whoever opens it; keep a copy of one that held an older schema."""
    if schema_version(database) == len(steps):
        return
    database.execute("BEGIN IMMEDIATE")
    try:
        # Read again under the lock: another process may have migrated while this one waited for it.
        found = schema_version(database)
        if found > len(steps):
            raise Misconfigured(
                f"The memory has schema {found}, this program knows {len(steps)}: "
                "install a newer version of this program, or set DB_PATH to another file"
            )
        if 0 < found < len(steps):
            _copy(path, path.with_name(f"{path.name}.schema-{found}"))
        if found == 0:
            database.execute("CREATE TABLE schema_version (version INTEGER PRIMARY KEY, applied_at TEXT NOT NULL)")
        for number, step in enumerate(steps[found:], found + 1):
            database.executescript(step)
            database.execute("INSERT INTO schema_version VALUES (?, strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))", [number])
        database.execute("COMMIT")
    except BaseException:
        if database.conn.in_transaction:
            database.execute("ROLLBACK")
        raise


def schema_version(database: Database) -> int:
    """The schema that the file holds; 0 for an empty one."""
    names = {name for (name,) in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    if "schema_version" in names:
        return int(database.execute("SELECT coalesce(max(version), 0) FROM schema_version").fetchone()[0])
    if names - {"sqlite_sequence"}:
        raise Misconfigured("DB_PATH names a database of another program: move it away, or set DB_PATH to another file")
    return 0


def _copy(source: Path, target: Path) -> None:
    """Write a whole copy, owner-only, under its name only when it is complete."""
    unfinished = target.with_name(f"{target.name}.tmp")
    unfinished.unlink(missing_ok=True)
    os.close(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    # A second connection reads what was last committed, while the migration's own lock keeps writers out.
    with (
        contextlib.closing(sqlite3.connect(source.absolute().as_uri() + "?mode=ro", uri=True)) as reader,
        contextlib.closing(sqlite3.connect(unfinished)) as writer,
    ):
        reader.backup(writer)
    descriptor = os.open(unfinished, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    unfinished.rename(target)
