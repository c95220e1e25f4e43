"""The records' file: made once, its owner's alone, migrated with a copy, and noticed when it goes."""
# ruff: noqa: S608

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import threading
import time
from pathlib import Path

import pytest

from ltmc_jobs.errors import Misconfigured, StoreUnavailable
from ltmc_jobs.stores.contracts import Records, Scope
from ltmc_jobs.stores.records_sqlite import SqliteRecords
from ltmc_jobs.stores.schema import STEPS
from tests.contracts.conftest import Writer

TEXT = "one\ntwo\nthree\n"
TABLES = {
    "resources", "resource_versions", "resource_chunks", "vectors", "vector_snapshots", "chat_history",
    "context_links", "summaries", "todos", "code_patterns", "code_pattern_context", "retrieval_weights",
    "graph_nodes", "graph_edges", "schema_version", "installation",
}  # fmt: skip


def test_files_are_for_their_owner_alone(memory_file: Path) -> None:
    """X09: files 0600 and directories 0700, whatever the umask; files that were open to others are closed."""
    before = os.umask(0)
    try:
        records = SqliteRecords(memory_file)
        records.count()
    finally:
        os.umask(before)
    assert stat.S_IMODE(memory_file.parent.stat().st_mode) == 0o700
    made = [memory_file, *(memory_file.with_name(f"ltmc.db-{end}") for end in ("wal", "shm"))]
    assert {stat.S_IMODE(file.stat().st_mode) for file in made} == {0o600}
    records.close()
    memory_file.chmod(0o644)
    SqliteRecords(memory_file).close()
    assert stat.S_IMODE(memory_file.stat().st_mode) == 0o600


def test_the_tables_are_there_after_the_first_start(memory_file: Path) -> None:
    """M01: all tables, write-ahead log, full-text index in step; opening again changes nothing."""
    for _ in range(2):
        SqliteRecords(memory_file).close()
    connection = sqlite3.connect(memory_file)
    found = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    assert found >= TABLES
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("SELECT count(*), max(version) FROM schema_version").fetchone() == (len(STEPS),) * 2
    connection.close()
    assert list(memory_file.parent.iterdir()) == [memory_file]


@pytest.mark.parametrize("known", range(1, len(STEPS)))
def test_an_older_memory_is_migrated_and_a_copy_kept(memory_file: Path, known: int) -> None:
    """M01: migration from each released schema keeps the data, and keeps the file as it was beside it."""
    old = SqliteRecords(memory_file, STEPS[:known])
    if known < 3:  # what was written then
        _write_at_first(memory_file)
    else:
        Writer(old).store("a.md", TEXT)
    old.close()
    new = SqliteRecords(memory_file)
    chunks = new.version_chunks(1, 1)
    assert [chunk.content for chunk in chunks] == TEXT.splitlines(keepends=True)
    assert new.search_words("three", scope=Scope("default")).scores.keys() == {3}
    assert new.searchable([chunk.chunk_id for chunk in chunks], scope=Scope("default")) == {1, 2, 3}
    new.close()
    copy = memory_file.with_name(f"ltmc.db.schema-{known}")
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    before = SqliteRecords(copy, STEPS[:known])
    assert before.count() == {"resources": 1, "versions": 1, "chunks": 3, "vectors": 3}
    before.close()


def _write_at_first(file: Path) -> None:
    """The document as the first two schemas have it."""
    connection = sqlite3.connect(file)
    now = "2026-01-01T00:00:00.000000+00:00"
    connection.execute(
        f"INSERT INTO resources VALUES (1, 'default', 'a.md', ?, 'document', 1, '{now}', '{now}')", [TEXT]
    )
    connection.execute(
        f"INSERT INTO resource_versions VALUES (1, 1, 'searchable', 'document', 'talk', 'x', 'j', '{now}')"
    )
    for n, line in enumerate(TEXT.splitlines(keepends=True)):
        fields = "resource_id, version, chunk_index, content, start, end"
        connection.execute(f"INSERT INTO resource_chunks ({fields}) VALUES (1, 1, {n}, ?, 0, 0)", [line])
        connection.execute(
            f"INSERT INTO vectors VALUES ({n + 1}, {n + 1}, 'default', 'test-model', 16, ?)", [bytes(64)]
        )
    connection.commit()
    connection.close()


def test_a_step_that_fails_changes_nothing(memory_file: Path) -> None:
    """M01: a migration is one transaction."""
    SqliteRecords(memory_file).close()
    with pytest.raises(StoreUnavailable):
        SqliteRecords(memory_file, [*STEPS, "CREATE TABLE half (id INTEGER); INSERT INTO nowhere VALUES (1);"])
    connection = sqlite3.connect(memory_file)
    assert connection.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'half'").fetchone() == (0,)
    assert connection.execute("SELECT max(version) FROM schema_version").fetchone() == (len(STEPS),)
    connection.close()
    SqliteRecords(memory_file).close()


def test_a_newer_or_foreign_memory_is_refused(memory_file: Path) -> None:
    """M01: a newer schema and another program's file are refused, with the cure; the file stays as it was."""
    SqliteRecords(memory_file, [*STEPS, "CREATE TABLE later (id INTEGER);"]).close()
    before = memory_file.read_bytes()
    with pytest.raises(Misconfigured, match="install a newer version"):
        SqliteRecords(memory_file)
    assert memory_file.read_bytes() == before
    other = memory_file.with_name("other.db")
    connection = sqlite3.connect(other)
    connection.execute("CREATE TABLE Resources (id INTEGER)")
    connection.close()
    with pytest.raises(Misconfigured, match="DB_PATH"):
        SqliteRecords(other)


def test_many_may_open_a_new_memory_at_once(memory_file: Path) -> None:
    """M01: the tables are made once, by whoever is first."""
    made: list[str] = []

    def open_it() -> None:
        records = SqliteRecords(memory_file)
        with sqlite3.connect(memory_file) as connection:
            made.append(connection.execute("SELECT id FROM installation").fetchone()[0])
        connection.close()
        records.close()

    threads = [threading.Thread(target=open_it) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 8
    assert len(set(made)) == 1


def _empty_log(file: Path) -> None:
    """Bring all commits into the file itself, as a careful hand does before it moves one."""
    connection = sqlite3.connect(file)
    assert connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone() == (0, 0, 0)
    connection.close()


def _moved(file: Path) -> None:
    file.rename(file.with_name("away"))


def _directory(file: Path) -> None:
    _moved(file)
    file.mkdir()


def _garbage(file: Path) -> None:
    _moved(file)
    file.write_bytes(b"no database at all, " * 500)


def _emptied(file: Path) -> None:
    _moved(file)
    file.touch()


def _forbidden(file: Path) -> None:
    file.chmod(0)


def _another(file: Path) -> None:
    _moved(file)
    SqliteRecords(file).close()


@pytest.mark.parametrize("harm", [_moved, _directory, _garbage, _emptied, _forbidden, _another])
def test_a_lost_file_is_noticed_and_its_return_too(
    writer: Writer, records: Records, memory_file: Path, harm: object
) -> None:
    """M01: a file that is gone, forbidden, replaced or no database is noticed, and used again once it is back."""
    assert callable(harm)
    writer.record("a.md", "one\n")
    records.check()
    _empty_log(memory_file)
    harm(memory_file)
    for call in (records.check, records.count, lambda: writer.record("b.md", "two\n")):
        with pytest.raises(StoreUnavailable) as caught:
            call()
        assert str(memory_file.parent) not in str(caught.value)
        assert "SELECT" not in str(caught.value)
    away = memory_file.with_name("away")
    if memory_file.is_dir():
        memory_file.rmdir()
    if away.exists():
        away.rename(memory_file)
    memory_file.chmod(0o600)
    records.check()
    assert records.count()["resources"] == 1
    assert writer.record("b.md", "two\n").created


def test_a_file_overwritten_in_place_is_noticed(writer: Writer, records: Records, memory_file: Path) -> None:
    """M01: the check reads the file, not this process's memory of it."""
    writer.record("a.md", "one\n")
    memory_file.write_bytes(b"no database at all, " * 5000)
    with pytest.raises(StoreUnavailable) as caught:
        records.check()
    assert isinstance(caught.value.__cause__, sqlite3.Error)


@pytest.mark.parametrize("careful", [True, False])
def test_a_restored_copy_is_used(writer: Writer, records: Records, memory_file: Path, careful: bool) -> None:
    """M01: a copy put back is opened without a restart, but never mixed with the log of the file it replaced."""
    writer.record("a.md", "one\n")
    _empty_log(memory_file)
    copy = memory_file.with_name("copy")
    shutil.copy2(memory_file, copy)
    writer.record("b.md", "two\n")
    if careful:
        _empty_log(memory_file)
    copy.replace(memory_file)
    if not careful:
        with pytest.raises(StoreUnavailable, match="-wal"):
            records.check()
        for end in ("wal", "shm"):
            memory_file.with_name(f"ltmc.db-{end}").unlink()
    records.check()
    assert records.count()["resources"] == 1


def test_a_restored_older_copy_is_migrated(memory_file: Path) -> None:
    """M01: whoever has the file open reads it by the newest schema."""
    old = SqliteRecords(memory_file, STEPS[:8])
    Writer(old).store("a.md", TEXT)
    old.close()
    _empty_log(memory_file)
    copy = memory_file.with_name("copy")
    shutil.copy2(memory_file, copy)
    records = SqliteRecords(memory_file)
    assert records.count()["resources"] == 1
    _empty_log(memory_file)
    copy.replace(memory_file)
    assert records.search_words("three", scope=Scope("default")).scores.keys() == {3}
    records.close()


def test_a_check_is_cheap_and_works_from_another_thread(writer: Writer, records: Records) -> None:
    """M01: a probe thread shares the object; a check costs well under a millisecond."""
    writer.record("a.md", "one\n")
    seconds: list[float] = []

    def probe() -> None:
        for _ in range(50):
            before = time.perf_counter()
            records.check()
            seconds.append(time.perf_counter() - before)

    thread = threading.Thread(target=probe)
    thread.start()
    for n in range(20):
        writer.record(f"{n}.md", "two\n")
    thread.join()
    assert len(seconds) == 50
    records.check()
    assert sorted(seconds)[5] < 0.001


def test_a_writer_that_holds_on_is_named(records: Records, writer: Writer, memory_file: Path) -> None:
    """M01: the busy timeout is at least 5 s: a lock that goes within it is waited for."""
    holder = sqlite3.connect(memory_file, isolation_level=None, check_same_thread=False)
    holder.execute("BEGIN IMMEDIATE")
    timer = threading.Timer(0.3, lambda: holder.execute("COMMIT"))
    timer.start()
    assert writer.record("a.md", "one\n").created
    timer.join()
    holder.close()
    with records._file.reading() as database:  # type: ignore[attr-defined]
        assert database.execute("PRAGMA busy_timeout").fetchone()[0] >= 5000
        assert database.execute("PRAGMA foreign_keys").fetchone() == (1,)
