"""A copy of an SQLite file as it was at one moment, whoever writes to it meanwhile."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

from ltmc_jobs.errors import Conflict, StoreUnavailable

PAGES = 4096  # 16 MB between two words about how far it is

Tick = Callable[[int, int], None]  # what is done, of how much


class SqliteSnapshot:
    """The file as it was when this was made: a read transaction holds it, and keeps no writer from writing on.

    For one thread. While it is open the file's log grows by what is written.
    """

    def __init__(self, path: Path) -> None:
        if not path.exists():
            raise StoreUnavailable(f"there is no {path.name} to copy")
        self._connection = sqlite3.connect(path.absolute().as_uri() + "?mode=rw", uri=True, isolation_level=None)
        try:
            self._connection.execute("BEGIN")
            self._connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()  # only a read takes the snapshot
        except sqlite3.Error as error:
            self._connection.close()
            raise StoreUnavailable(f"{path.name} cannot be read: {error}") from error

    def write_to(self, target: Path, tick: Tick) -> None:
        """Write the copy, for its owner alone; there must be no file of this name."""
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        with contextlib.closing(sqlite3.connect(target)) as writer:
            try:
                self._connection.backup(writer, pages=PAGES, progress=lambda _, left, total: tick(total - left, total))
            except sqlite3.Error as error:
                raise StoreUnavailable(f"the copy could not be written: {error}") from error

    def close(self) -> None:
        """Let the file's log be folded again."""
        self._connection.close()


def row_counts(path: Path) -> dict[str, int]:
    """Rows of each table of a copy, by its name; those behind the full-text indexes are left out."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        listed = database.execute("SELECT name, type FROM pragma_table_list WHERE schema = 'main' ORDER BY name")
        names = [name for name, kind in listed.fetchall() if kind == "table" and not name.startswith("sqlite_")]
        counted = {}
        for name in names:
            quoted = name.replace('"', '""')
            counted[name] = int(database.execute(f'SELECT count(*) FROM "{quoted}"').fetchone()[0])  # noqa: S608
        return counted


def check_copy(path: Path) -> None:
    """Conflict unless it is a whole database."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        try:
            said = str(database.execute("PRAGMA quick_check(1)").fetchone()[0])
        except sqlite3.Error as error:
            said = str(error)
    if said != "ok":
        raise Conflict(f"{path.name} is damaged: {said}")


def forget_indexes(path: Path) -> None:
    """Note in a copy that no index file belongs to it: the first worker makes them from the rows."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
        if "vector_snapshots" in tables:
            database.execute("DELETE FROM vector_snapshots")
            database.commit()
