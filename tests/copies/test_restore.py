"""Backups of an installation with a Redis of the user's: what is refused, what a damaged file does, what is kept."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ltmc_jobs.errors import Conflict, LtmcError, Misconfigured, NotFound
from ltmc_jobs.private_files import own
from ltmc_jobs.settings import Settings
from ltmc_jobs.shared import Shared
from ltmc_jobs.stores import open_store
from ltmc_jobs.stores.contracts import ChunkText, Document, Records
from ltmc_jobs.stores.sqlite_copy import SqliteSnapshot, row_counts
from tests.conftest import MakeSettings
from workers import writer
from workers.copies import redis_state
from workers.copies.backup import take
from workers.copies.restore import differing_settings, put_back, verify
from workers.record import Process, Record

OTHER_KEY = "k" * 40


@pytest.fixture
def installation(settings: Settings, shared: Shared) -> Iterator[Settings]:
    """A home with one document and one key of a job; its Redis is emptied afterwards."""
    store(settings, "first.md")
    shared.redis.hset("rq:job:one", mapping={"status": "finished"})
    yield settings
    shared.redis.flushall()


def store(settings: Settings, name: str) -> None:
    records = open_store(Records, settings)
    document = Document(project="default", file_name=name, content=name)
    records.record(document, [ChunkText(name, 0, len(name))], job_id=name)
    records.close()


def store_many(settings: Settings, count: int) -> None:
    for n in range(count):
        store(settings, f"{n}.md")


def documents(settings: Settings) -> list[str]:
    with closing(sqlite3.connect(settings.records_file)) as database:
        return [name for (name,) in database.execute("SELECT file_name FROM resources ORDER BY id")]


def files(folder: Path) -> dict[str, bytes]:
    """Everything in a folder but its locks, byte for byte."""
    found = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if not name.endswith((".lock", "-wal", "-shm"))}


def test_into_the_same_home_and_redis(installation: Settings, shared: Shared, tmp_path: Path) -> None:
    """D11: only by force over one that is in use; what was there is kept, in the home and in a file of its keys."""
    taken = take(installation, tmp_path)
    assert verify(Path(taken["file"]))["counts"] == taken["counts"]
    store(installation, "second.md")
    shared.redis.hset("rq:job:two", mapping={"status": "queued"})
    journals = installation.run_directory / "journals"
    journals.mkdir(parents=True)
    (journals / "of-then.journal").write_text("S two:1\n")
    with pytest.raises(Conflict, match="in use; with --force"):
        put_back(installation, Path(taken["file"]), force=False)

    done = put_back(installation, Path(taken["file"]), force=True)
    assert documents(installation) == ["first.md"]
    assert shared.redis.exists("rq:job:one", "rq:job:two") == 1
    assert shared.installation.owns_stores()
    assert not journals.exists(), "it tells of jobs that the backup does not know"
    aside = Path(done["aside"])
    with closing(sqlite3.connect(aside / "ltmc.db")) as database:
        assert database.execute("SELECT count(*) FROM resources").fetchone() == (2,)
    assert redis_state.counts(aside / "redis.keys")["jobs"] == 2


def test_a_damaged_file_changes_nothing(installation: Settings, shared: Shared, tmp_path: Path) -> None:
    """D11: cut short, one byte changed anywhere, a part missing or put in: refused, and the home is as it was."""
    file = Path(take(installation, tmp_path / "whole")["file"])
    whole = file.read_bytes()
    before, state = files(installation.home), sorted(redis_state.our_keys(shared.redis))
    broken = tmp_path / "broken"
    refused = 0
    for place in range(5, len(whole), len(whole) // 40):
        broken.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            verify(broken)
        except LtmcError:
            refused += 1
            with pytest.raises(LtmcError):
                put_back(installation, broken, force=True)
    assert refused >= 30, "what is not refused says nothing: a time, the system that wrote it"
    for cut in (0, 1, 100, len(whole) // 2, len(whole) - 1):
        broken.write_bytes(whole[:cut])
        with pytest.raises(Conflict, match="damaged, or no backup"):
            put_back(installation, broken, force=True)
    with zipfile.ZipFile(file) as archive, zipfile.ZipFile(broken, "w") as other:
        for name in archive.namelist():
            manifest = name == "manifest.json"
            content = archive.read(name)
            other.writestr(name, content.replace(b'"resources": 1', b'"resources": 2') if manifest else content)
    with pytest.raises(Conflict, match="other counts"):
        put_back(installation, broken, force=True)
    with zipfile.ZipFile(file) as archive, zipfile.ZipFile(broken, "w") as other:
        for name in archive.namelist():
            other.writestr(name, archive.read(name)[::-1] if name == "signing.key" else archive.read(name))
    with pytest.raises(Conflict, match=r"signing[.]key is not what it was"):
        put_back(installation, broken, force=True)
    with zipfile.ZipFile(broken, "a") as other:
        other.writestr("../../escaped", "x")
    with pytest.raises(Conflict, match="other parts"):
        put_back(installation, broken, force=True)
    assert files(installation.home) == before
    assert sorted(redis_state.our_keys(shared.redis)) == state


def test_what_is_refused(installation: Settings, make_settings: MakeSettings, tmp_path: Path) -> None:
    """Nothing runs there, the program is no older, the secrets of the environment are at hand."""
    file = Path(take(installation, tmp_path / "one.backup")["file"])
    with pytest.raises(Misconfigured, match="is there already"):
        take(installation, file)
    with pytest.raises(NotFound, match="no file"):
        verify(tmp_path / "none")
    with pytest.raises(Misconfigured, match="no memory"):
        take(make_settings(LTMC_HOME=tmp_path / "empty", REDIS_URL=installation.redis_address()), tmp_path)

    with (
        own(_with_run(installation).run_directory / "backup.lock"),
        pytest.raises(Misconfigured, match="in use by pid"),
    ):
        take(installation, tmp_path)

    Record(Process.of(os.getpid()), "http://localhost", "").save(_with_run(installation))
    with pytest.raises(Conflict, match="stop it first"):
        put_back(installation, file, force=True)
    (installation.run_directory / "platform.json").unlink()
    lock = writer.become(installation, wait=True)
    assert lock is not None
    with pytest.raises(Conflict, match="workers write into"):
        put_back(installation, file, force=True)
    os.close(lock)

    other = make_settings(LTMC_HOME=tmp_path / "other", REDIS_URL=installation.redis_address())
    with pytest.raises(Conflict, match=r"Redis at .* is in use"):
        put_back(other, file, force=False)
    assert not other.records_file.exists()
    off = make_settings(LTMC_HOME=tmp_path / "other", REDIS_ENABLED="false")
    with pytest.raises(Misconfigured, match="switched off here"):
        put_back(off, file, force=False)


def test_secrets_of_the_environment_stay_there(
    installation: Settings, make_settings: MakeSettings, tmp_path: Path
) -> None:
    """A key that LTMC_SIGNING_KEY held is named, not copied; settings that differ are listed, secrets never."""
    url = installation.redis_address()
    keyed = make_settings(REDIS_URL=url, LTMC_SIGNING_KEY=OTHER_KEY, LTMC_WORKERS=2, EMBEDDING_MODEL="another")
    taken = take(keyed, tmp_path)
    assert taken["needs"] == ["LTMC_SIGNING_KEY"]
    with zipfile.ZipFile(taken["file"]) as archive:
        manifest = json.loads(archive.read("manifest.json"))
    assert manifest["settings"] == {"EMBEDDING_MODEL": "another", "LTMC_WORKERS": "2"}
    assert OTHER_KEY not in json.dumps(manifest)
    with pytest.raises(Misconfigured, match="LTMC_SIGNING_KEY stood in the environment"):
        put_back(installation, Path(taken["file"]), force=True)
    assert differing_settings(make_settings(REDIS_URL=url, LTMC_WORKERS=3), manifest) == [
        "EMBEDDING_MODEL: another there, not set here",
        "LTMC_WORKERS: 2 there, 3 here",
    ]


def test_the_embedded_server_too_while_it_is_stopped(
    installation: Settings, make_settings: MakeSettings, free_port: Callable[[], int], tmp_path: Path
) -> None:
    """D11: from a Redis of the user's into a home with the embedded one, and from there, stopped, into a third."""
    first = take(installation, tmp_path / "first.backup")
    home = make_settings(LTMC_HOME=tmp_path / "second", REDIS_PORT=free_port())
    put_back(home, Path(first["file"]), force=False)
    second = take(home, tmp_path / "second.backup")
    assert second["counts"]["records"] == first["counts"]["records"]
    assert second["counts"]["redis"] == first["counts"]["redis"]
    third = make_settings(LTMC_HOME=tmp_path / "third", REDIS_PORT=free_port(), DB_PATH=tmp_path / "apart" / "my.db")
    done = put_back(third, Path(second["file"]), force=False)
    assert done["aside"] is None
    assert documents(third) == ["first.md"]
    assert third.records_file == tmp_path / "apart" / "my.db"
    names = ("installation", "signing.key", "redis/password")
    assert [(third.home / name).read_text() for name in names] == [(home.home / name).read_text() for name in names]
    assert [path.name for path in third.home.glob(".restoring*")] == []


def test_a_snapshot_stands_while_others_write(settings: Settings, tmp_path: Path) -> None:
    """D11: rows that are written after it was made are not in it, though the copy is written later."""
    store(settings, "before.md")
    snapshot = SqliteSnapshot(settings.records_file)
    writing = threading.Thread(target=store_many, args=(settings, 20))
    writing.start()
    snapshot.write_to(tmp_path / "copy.db", lambda _done, _total: None)
    writing.join()
    snapshot.close()
    assert row_counts(tmp_path / "copy.db")["resources"] == 1
    assert len(documents(settings)) == 21


def test_what_redis_knows_to_be_done_is_in_the_records(installation: Settings, shared: Shared, tmp_path: Path) -> None:
    """D11: a job commits, and then Redis hears of its end: in no backup is there an end without its effect."""
    for n in range(3000):
        shared.redis.set(f"rq:filling:{n}", n)
    shared.redis.set("rq:done", 0)
    ended = threading.Event()

    def work() -> None:
        with closing(sqlite3.connect(installation.records_file, isolation_level=None, timeout=10)) as database:
            n = 0
            while not ended.is_set():
                n += 1
                database.execute(
                    "INSERT INTO todos (project, title, description, created_at) VALUES ('p', ?, '', '')", [n]
                )
                shared.redis.set("rq:done", f"{n:06}")

    thread = threading.Thread(target=work)
    thread.start()
    try:
        taken = [Path(take(installation, tmp_path / f"{turn}.backup")["file"]) for turn in range(6)]
    finally:
        ended.set()
        thread.join()
    for file in taken:
        with zipfile.ZipFile(file) as archive:
            archive.extract("records.db", tmp_path)
            archive.extract("redis.keys", tmp_path)
        with closing(sqlite3.connect(tmp_path / "records.db")) as database:
            (kept,) = database.execute("SELECT count(*) FROM todos").fetchone()
        contents = {name: content for name, _, content in redis_state.frames(tmp_path / "redis.keys")}
        shared.redis.restore("rq:copy", 0, contents[b"rq:done"], replace=True)
        done = int(shared.redis.get("rq:copy") or 0)
        assert 0 <= done <= kept <= done + 1, "writes to Redis are held, so one effect at most is ahead of its end"


def test_redis_is_asked_nothing_where_it_is_off(make_settings: MakeSettings, tmp_path: Path) -> None:
    """Without Redis there is the memory alone to copy."""
    off = make_settings(REDIS_ENABLED="false")
    store(off, "alone.md")
    taken = take(off, tmp_path)
    assert "redis" not in taken["counts"]
    other = make_settings(LTMC_HOME=tmp_path / "other", REDIS_ENABLED="false")
    put_back(other, Path(taken["file"]), force=False)
    assert documents(other) == ["alone.md"]


def _with_run(settings: Settings) -> Settings:
    settings.run_directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return settings
