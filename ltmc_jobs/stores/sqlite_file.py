"""One SQLite file of ours: made owner-only, opened once a thread, noticed when it goes, its errors put in our words."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from sqlite_utils import Database

from ltmc_jobs.errors import InvalidArguments, StoreUnavailable
from ltmc_jobs.stores.schema import STEPS, migrate

BUSY_SECONDS = 10.0

# What to tell a caller, by SQLite's own name of the error; neither SQL nor a path leaves the store.
_MEANINGS = {
    "SQLITE_BUSY": "another process has been writing to it for too long",
    "SQLITE_LOCKED": "another connection has been writing to it for too long",
    "SQLITE_FULL": "the disk is full",
    "SQLITE_READONLY": "it cannot be written to",
    "SQLITE_CANTOPEN": "it cannot be opened",
    "SQLITE_NOTADB": "it is not a database",
    "SQLITE_CORRUPT": "it is damaged; restore a copy of it",
    "SQLITE_IOERR": "the disk does not answer",
}

Mark = tuple[int, int]  # device and inode: what stays the same while a file is the same file


class SqliteFile:
    """Connections to one file. Open it after forking: a connection must not cross a fork."""

    def __init__(self, path: Path, steps: Sequence[str] = STEPS) -> None:
        self._path = path.absolute()
        self._steps = steps
        self._lock = threading.Lock()
        self._open: dict[int, tuple[Mark, Database]] = {}
        self._mark: Mark | None = None
        self._log_mark: Mark | None = None
        with self._reported():
            _make_private(self._path)
            with contextlib.closing(self._connect()) as database:
                _switch_to_wal(database)
                migrate(database, self._path, steps)
                self.installation = _installation(database)

    @contextlib.contextmanager
    def reading(self) -> Iterator[Database]:
        """This thread's connection; every statement sees the newest commit."""
        with self._reported():
            yield self._database()

    @contextlib.contextmanager
    def writing(self) -> Iterator[Database]:
        """This thread's connection in a write transaction: committed at the end, rolled back by any error."""
        with self._reported():
            database = self._database()
            # Taking the write lock at the start waits for it; upgrading a read lock later could only fail.
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
                database.execute("COMMIT")
            except BaseException:
                if database.conn.in_transaction:
                    database.execute("ROLLBACK")
                raise

    def check(self) -> None:
        """Raise if the file is gone, replaced by another memory, unreadable or no database."""
        with self._reported():
            self._database()
            # A fresh connection reads the file itself; this thread's one would answer from its page cache. Reading
            # the file without SQLite is no way out: closing it would drop the locks of every connection here.
            with contextlib.closing(self._connect()) as fresh:
                _installation(fresh)

    def close(self) -> None:
        """Close every thread's connection."""
        with self._lock:
            while self._open:
                self._open.popitem()[1][1].close()

    def _database(self) -> Database:
        try:
            mark = _mark(self._path)
        except BaseException:
            # An open connection would keep the old file, and its locks, for as long as this process lives.
            self._drop()
            raise
        opened = self._open.get(threading.get_ident())
        if opened is not None and opened[0] == mark:
            return opened[1]
        self._drop()
        return self._reopen(mark)

    def _reopen(self, mark: Mark) -> Database:
        with self._lock:
            living = {thread.ident for thread in threading.enumerate()}
            for ident in self._open.keys() - living:
                self._open.pop(ident)[1].close()
        # SQLite would replay the old file's log into the new file.
        if self._mark not in (None, mark) and _log_size(self._path, self._log_mark):
            raise StoreUnavailable(
                "The memory was replaced while in use, and the old one's log was left beside it: "
                "stop the workers, remove the files ending in -wal and -shm, and restore it again"
            )
        database = self._connect()
        try:
            if _installation(database) != self.installation:
                raise StoreUnavailable("The memory was replaced by another one: restart the workers to use it")
            if self._mark not in (None, mark):
                migrate(database, self._path, self._steps)  # an older copy of it may have been restored
        except BaseException:
            database.close()
            raise
        with self._lock:
            self._open[threading.get_ident()] = (mark, database)
            self._mark, self._log_mark = mark, _log_mark(self._path)
        return database

    def _connect(self) -> Database:
        # Any thread may close a connection, though only the one that made it uses it.
        connection = sqlite3.connect(
            self._path.as_uri() + "?mode=rw",
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )
        database = Database(connection, execute_plugins=False)
        database.execute("PRAGMA foreign_keys = ON")
        # In WAL mode a commit at NORMAL is with the kernel when it returns: a killed process loses nothing, a power
        # cut may lose the newest commits but never half of one.
        database.execute("PRAGMA synchronous = NORMAL")
        return database

    def _drop(self) -> None:
        with self._lock:
            opened = self._open.pop(threading.get_ident(), None)
        if opened is not None:
            opened[1].close()

    @contextlib.contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            self._drop()
            raise StoreUnavailable(f"The memory cannot answer: {_meaning(error)}") from error
        except OSError as error:
            raise StoreUnavailable(f"The memory cannot be reached: {error.strerror}") from error
        except UnicodeEncodeError as error:
            raise InvalidArguments("A text holds half of a surrogate pair, so it is no Unicode text") from error


def _meaning(error: sqlite3.Error) -> str:
    name = getattr(error, "sqlite_errorname", "") or type(error).__name__
    for known, meaning in _MEANINGS.items():
        if name.startswith(known):
            return meaning
    return f"SQLite says {name}"


def _mark(path: Path) -> Mark:
    found = path.stat()
    if not stat.S_ISREG(found.st_mode) or found.st_size == 0:
        raise StoreUnavailable("The memory cannot be reached: what stands in its place is not a database")
    # Root could still read it; but whoever took the rights away meant it.
    if found.st_mode & 0o600 != 0o600:
        raise StoreUnavailable("The memory cannot be reached: its owner may not read and write it")
    return found.st_dev, found.st_ino


def _log_mark(path: Path) -> Mark | None:
    try:
        found = path.with_name(f"{path.name}-wal").stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _log_size(path: Path, mark: Mark | None) -> int:
    """Bytes in the log, if it is still the one of this mark."""
    return path.with_name(f"{path.name}-wal").stat().st_size if mark and _log_mark(path) == mark else 0


def _make_private(path: Path) -> None:
    """Make the file and its missing directories for the owner alone, whatever the umask; SQLite's own files follow."""
    for directory in [path.parent, *path.parent.parents][::-1]:
        if not directory.exists():
            directory.mkdir(exist_ok=True)
            directory.chmod(0o700)
    with contextlib.suppress(FileExistsError):
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        os.fchmod(descriptor, 0o600)
        os.close(descriptor)
    if path.stat().st_size:
        _mark(path)
    for file in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
        with contextlib.suppress(FileNotFoundError):
            if (mode := file.stat().st_mode) & 0o077:
                file.chmod(stat.S_IMODE(mode) & 0o700)


def _switch_to_wal(database: Database) -> None:
    """Turn on write-ahead logging; two first openers at once can get a busy error that no timeout waits for."""
    until = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            database.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > until:
                raise
            time.sleep(0.01)


def _installation(database: Database) -> str:
    return str(database.execute("SELECT id FROM installation").fetchone()[0])
