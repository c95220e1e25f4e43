"""Records: what is stored is whole, once, and visible all at once."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from ltmc_jobs.errors import InvalidArguments, ModelMismatch, NotFound
from ltmc_jobs.stores.contracts import Records, Scope
from ltmc_jobs.stores.records_sqlite import SqliteRecords
from tests.contracts.conftest import OpenRecords, Writer, start_python, unit

EVERYTHING = Scope("default")

TEXT = "The cat sat.\nDogs were running – über 😀 Köln.\nNUL:\x00 too.\n"


def test_every_character_comes_back_from_the_chunks(writer: Writer, records: Records) -> None:
    """A01, M02: content is recoverable from the stored chunks by their offsets, in the order of their index."""
    version = writer.record("a.md", TEXT)
    chunks = records.version_chunks(version.resource_id, version.version)
    assert [chunk.chunk_index for chunk in chunks] == [0, 1, 2]
    assert "".join(chunk.content for chunk in chunks) == TEXT
    assert all(TEXT[chunk.start : chunk.end] == chunk.content for chunk in chunks)
    assert [chunk.chunk_id for chunk in chunks] == list(version.chunk_ids)


def test_the_old_version_is_read_whole_until_the_new_one_is_searchable(writer: Writer, records: Records) -> None:
    """A01: a new version replaces the old one at once, chunks, vectors and words."""
    old = writer.store("a.md", "old one\nold two\n")
    new = writer.record("a.md", "new one\n")
    assert set(records.chunks([*old.chunk_ids, *new.chunk_ids])) == set(old.chunk_ids)
    assert not records.publish(new.resource_id, new.version)
    assert records.searchable([*old.chunk_ids, *new.chunk_ids], scope=EVERYTHING) == set(old.chunk_ids)
    writer.embed(new)
    assert records.publish(new.resource_id, new.version)
    assert set(records.chunks([*old.chunk_ids, *new.chunk_ids])) == set(new.chunk_ids)
    assert records.count() == {"resources": 1, "versions": 2, "chunks": 1, "vectors": 1}
    states = [found.state for n in (1, 2) if (found := records.version(old.resource_id, n))]
    assert states == ["superseded", "searchable"]


def test_an_older_version_never_wins(writer: Writer, records: Records) -> None:
    """A late job of an older version finds nothing to do and breaks nothing."""
    old = writer.record("a.md", "old\n")
    new = writer.store("a.md", "new\n")
    writer.embed(old)
    assert records.publish(old.resource_id, old.version)
    records.mark_linked(old.resource_id, old.version)
    assert records.searchable([*old.chunk_ids, *new.chunk_ids], scope=EVERYTHING) == set(new.chunk_ids)
    found = records.version(old.resource_id, old.version)
    assert found is not None
    assert (found.state, found.chunk_ids) == ("superseded", ())
    assert records.count()["vectors"] == 1


def test_publishing_again_and_publishing_nothing(writer: Writer, records: Records) -> None:
    """Publishing is harmless when repeated, works for an empty text, and names what does not exist."""
    empty = writer.record("empty.md", "")
    assert empty.chunk_ids == ()
    assert records.publish(empty.resource_id, empty.version)
    records.mark_linked(empty.resource_id, empty.version)
    assert records.publish(empty.resource_id, empty.version)
    found = records.version(empty.resource_id, empty.version)
    assert found is not None
    assert found.state == "linked"
    with pytest.raises(NotFound):
        records.publish(4711, 1)
    assert records.version(4711, 1) is None


def test_vectors_of_another_model_are_refused(writer: Writer, records: Records) -> None:
    """M04: model and dimension are recorded; a mismatch is refused and names the cure."""
    version = writer.store("a.md", "one\ntwo\n")
    more = writer.record("b.md", "three\n")
    assert records.vector_model() == ("test-model", 16)
    for vector, model in ((unit(1), "other"), (unit(1, 8), "test-model")):
        with pytest.raises(ModelMismatch, match=r"EMBEDDING_MODEL.*ltmc reindex"):
            records.add_vectors([(more.chunk_ids[0], vector)], model=model)
    with pytest.raises(ModelMismatch):
        records.add_vectors([(more.chunk_ids[0], np.full(16, np.nan, np.float32))], model="test-model")
    writer.embed(version, seed=99)
    rows = records.vectors_after(0, project="default")
    assert [row.chunk_id for row in rows] == list(version.chunk_ids)
    assert np.array_equal(rows[0].vector, unit(version.chunk_ids[0]))


def test_vectors_are_read_from_where_one_stopped(writer: Writer, records: Records) -> None:
    """Rows come in the order of their numbers; numbers of removed rows do not come back."""
    writer.store("a.md", "one\ntwo\n")
    before = records.vectors_after(0, project="default")
    writer.store("a.md", "three\n")
    writer.store("b.md", "four\nfive\n", project="other")
    after = [row for project in ("default", "other") for row in records.vectors_after(before[-1].seq, project=project)]
    assert [row.project for row in after] == ["default", "other", "other"]
    assert [row.seq for row in after] == sorted({row.seq for row in after})
    assert [row.seq for row in records.vectors_after(0, project="default")] == [row.seq for row in after[:1]]
    assert len(records.vectors_after(0, project="other", limit=1)) == 1
    assert records.projects() == ["default", "other"]


def test_what_stopped_on_its_way_is_listed(writer: Writer, records: Records) -> None:
    """A sweep finds every version that is neither linked nor superseded."""
    recorded, published, linked = writer.record("a", "a\n"), writer.store("b", "b\n"), writer.store("c", "c\n")
    records.mark_linked(linked.resource_id, linked.version)
    assert [v.file_name for v in records.unfinished(older_than_seconds=0)] == ["a", "b"]
    assert records.unfinished(older_than_seconds=60) == []
    assert (recorded.state, published.state) == ("recorded", "recorded")


def test_everything_is_there_after_a_restart(writer: Writer, records: Records, open_records: OpenRecords) -> None:
    """M13: ids are the same after a restart."""
    version = writer.store("a.md", TEXT)
    records.close()
    again = open_records()
    assert list(again.chunks(version.chunk_ids)) == list(version.chunk_ids)
    assert [row.chunk_id for row in again.vectors_after(0, project="default")] == list(version.chunk_ids)


def test_text_that_is_no_unicode_is_refused(writer: Writer, records: Records) -> None:
    """Half a surrogate pair cannot be stored: it is named, and nothing of it stays."""
    for name, content in (("a", "bad \ud800\n"), ("bad \ud800", "a\n")):
        with pytest.raises(InvalidArguments):
            writer.record(name, content)
    assert records.count()["resources"] == 0


def test_two_processes_record_at_once(records: Records, memory_file: Path) -> None:
    """M01: writers wait for one another; no write is lost, no version number is given twice."""
    program = """if True:
        import sys
        from pathlib import Path
        from ltmc_jobs.stores.contracts import ChunkText, Document
        from ltmc_jobs.stores.records_sqlite import SqliteRecords
        records, me = SqliteRecords(Path(sys.argv[1])), sys.argv[2]
        print("ready", flush=True); sys.stdin.readline()
        for n in range(60):
            content = f"{me} {n}"
            document = Document(project="p", file_name=f"shared-{n % 5}", resource_type="note", content=content)
            records.record(document, [ChunkText(content, 0, len(content))], job_id=content)
        records.close()
    """
    processes = [start_python(program, memory_file, name) for name in ("one", "two")]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.communicate("go\n", timeout=30)
        assert process.returncode == 0
    assert records.count() == {"resources": 5, "versions": 120, "chunks": 120, "vectors": 0}
    found = [v for v in records.unfinished(older_than_seconds=0) if v.file_name == "shared-0"]
    assert [v.version for v in found] == list(range(1, 25))


KILLED = """if True:
    import os, sqlite3, sys
    from pathlib import Path
    import numpy as np
    from ltmc_jobs.stores.contracts import ChunkText, Document
    from ltmc_jobs.stores.records_sqlite import SqliteRecords

    connect, steps, deadly = sqlite3.connect, 0, 0

    def step():
        global steps
        steps += 1
        if steps == deadly:
            os.kill(os.getpid(), 9)
        return 0

    def watched(*arguments, **options):
        connection = connect(*arguments, **options)
        connection.set_progress_handler(step, 1)
        return connection

    def work(folder):
        global steps
        records = SqliteRecords(folder / "ltmc.db")
        steps = 0
        for n in (1, 2):
            chunks = [ChunkText(f"version {n} part {part} ", 18 * part, 18 * part + 18) for part in range(8)]
            document = Document(project="p", file_name="f", resource_type="note", content=f"version {n}")
            made = records.record(document, chunks, job_id=f"job {n}")
            records.add_vectors([(c, np.ones(4, np.float32)) for c in made.chunk_ids], model="m")
            assert records.publish(made.resource_id, made.version)
        records.close()

    sqlite3.connect = watched
    work(Path(sys.argv[1]) / "whole")
    print(steps, flush=True)
    for n, wanted in enumerate(sys.stdin.readline().split()):
        child = os.fork()
        if child == 0:
            deadly = int(wanted)
            work(Path(sys.argv[1]) / str(n))
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 9
"""


def test_a_killed_process_leaves_all_or_nothing(tmp_path: Path) -> None:
    """A01: killed within any statement of record, embed and publish, each is whole or has never been."""
    process = start_python(KILLED, tmp_path)
    assert process.stdout is not None
    steps = int(process.stdout.readline())
    moments = sorted(random.sample(range(1, steps + 1), 40))
    process.communicate(" ".join(map(str, moments)) + "\n", timeout=60)
    assert process.returncode == 0
    seen = set()
    for n, _ in enumerate(moments):
        records = SqliteRecords(tmp_path / str(n) / "ltmc.db")
        seen.add(tuple(records.count().values()))
        _check_whole(records, tmp_path / str(n) / "ltmc.db")
        records.close()
    # (resources, versions, chunks, vectors) after each of the six steps, and nothing in between
    assert seen <= {(0, 0, 0, 0), (1, 1, 8, 0), (1, 1, 8, 8), (1, 2, 16, 8), (1, 2, 16, 16), (1, 2, 8, 8)}
    assert len(seen) > 2


def _check_whole(records: Records, file: Path) -> None:
    for n in (1, 2):
        version = records.version(1, n)
        if version and version.state != "superseded":
            found = records.version_chunks(1, n)
            assert [chunk.content for chunk in found] == [f"version {n} part {part} " for part in range(8)]
        if version and version.state == "searchable":
            assert records.searchable(version.chunk_ids, scope=Scope("p")) == set(version.chunk_ids)
    connection = sqlite3.connect(file)
    connection.execute("INSERT INTO chunk_words (chunk_words, rank) VALUES ('integrity-check', 1)")
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    connection.close()
