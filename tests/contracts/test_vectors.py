"""Vectors: the nearest visible chunks, whatever is in files, in memory, replaced, missing or damaged."""

from __future__ import annotations

import random
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from ltmc_jobs.errors import InvalidArguments, StoreUnavailable
from ltmc_jobs.stores import open_store
from ltmc_jobs.stores.contracts import Graph, Hit, Records, Scope, Vectors
from ltmc_jobs.stores.faiss_index.plan import Sizes
from ltmc_jobs.stores.vectors_faiss import FaissVectors
from tests.contracts.conftest import DIMENSION, Writer, start_python, unit

EVERYTHING = Scope("default")

FOLD_ROWS = 8
OpenVectors = Callable[[], Vectors]


@pytest.fixture
def directory(memory_file: Path) -> Path:
    """Where the index files of this test are."""
    return memory_file.parent / "faiss_index"


@pytest.fixture(params=["faiss"])
def open_index(request: pytest.FixtureRequest, records: Records, directory: Path) -> Iterator[OpenVectors]:
    """Open the test's index, as often as wanted: each time as another process would."""
    opened: list[Vectors] = []
    backends = {
        "faiss": lambda: FaissVectors(directory, records, "test-model", DIMENSION, sizes=Sizes(fold_rows=FOLD_ROWS))
    }

    def open_another() -> Vectors:
        opened.append(backends[request.param]())
        return opened[-1]

    yield open_another
    for vectors in opened:
        vectors.close()


@pytest.fixture
def vectors(open_index: OpenVectors) -> Vectors:
    """The index over the test's records."""
    return open_index()


def text(rows: int, word: str = "line") -> str:
    """A document of so many chunks."""
    return "".join(f"{word} {n}\n" for n in range(rows))


def expected(records: Records, query: np.ndarray, project: str, k: int) -> list[int]:
    """The answer by comparing with every row."""
    rows = records.vectors_after(0, project=project)
    visible = records.searchable([row.chunk_id for row in rows], scope=Scope(project))
    scored = [(-float(row.vector @ query), row.chunk_id) for row in rows if row.chunk_id in visible]
    return [chunk_id for _, chunk_id in sorted(scored)[:k]]


def ids(hits: list[Hit]) -> list[int]:
    return [hit.chunk_id for hit in hits]


def test_an_empty_index_finds_nothing(vectors: Vectors, records: Records, directory: Path) -> None:
    """M13: no documents, no hits, no files, no complaint."""
    assert vectors.search(unit(1), scope=EVERYTHING, k=5) == []
    vectors.fold()
    vectors.check()
    assert vectors.count() == 0
    assert not directory.exists()
    assert records.snapshots() == {}


def test_more_than_there_are_gives_all(vectors: Vectors, writer: Writer) -> None:
    """M13: k larger than the index returns all, best first, with cosines as scores; k = 0 returns none."""
    version = writer.store("a.md", text(5), seed=1)
    hits = vectors.search(unit(3) * 7, scope=EVERYTHING, k=100)
    assert sorted(ids(hits)) == sorted(version.chunk_ids)
    assert hits[0].chunk_id == version.chunk_ids[2]
    assert hits[0].score == pytest.approx(1.0, abs=1e-6)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert vectors.search(unit(3), scope=EVERYTHING, k=0) == []


def test_only_visible_chunks_of_the_project_are_found(vectors: Vectors, writer: Writer, records: Records) -> None:
    """A01: neither what waits, nor what was replaced, nor what is another project's."""
    old = writer.store("a.md", text(3), seed=1)
    writer.store("a.md", text(3), project="other", seed=1)
    new = writer.record("a.md", text(3, "new"))
    writer.embed(new, seed=1)
    assert set(ids(vectors.search(unit(1), scope=EVERYTHING, k=9))) == set(old.chunk_ids)
    assert records.publish(new.resource_id, new.version)
    assert set(ids(vectors.search(unit(1), scope=EVERYTHING, k=9))) == set(new.chunk_ids)
    assert len(vectors.search(unit(1), scope=Scope("other"), k=9)) == 3
    assert vectors.search(unit(1), scope=Scope("third"), k=9) == []


def test_a_search_stays_in_its_conversation(vectors: Vectors, writer: Writer, records: Records) -> None:
    """By meaning, one conversation's documents are all found, however many others lie nearer."""
    writer.store("near.md", text(60), seed=1)
    mine = writer.record("mine.md", text(4), conversation_id="mine")
    words = records.search_words("line", scope=Scope("default", "mine"))
    assert set(words.scores) == set(mine.chunk_ids)
    assert records.search_words("line", scope=Scope("default", "other")).scores == {}
    writer.embed(mine, seed=5000)
    assert records.publish(mine.resource_id, mine.version)
    for conversation, wanted in (("mine", set(mine.chunk_ids)), ("other", set())):
        hits = vectors.search(unit(1), scope=Scope("default", conversation), k=4)
        assert set(ids(hits)) == wanted
    assert len(vectors.search(unit(1), scope=EVERYTHING, k=99)) == 64


def test_k_are_found_behind_many_that_were_replaced(vectors: Vectors, writer: Writer) -> None:
    """Replaced chunks that lie nearer than the valid ones do not use up the answer."""
    kept = writer.store("kept.md", text(20), seed=5000)
    for n in range(30):
        newest = writer.store("a.md", text(10, f"version {n}"), seed=1)
        # Looked at, so that this reader holds the rows that the next round replaces.
        assert ids(vectors.search(unit(1), scope=EVERYTHING, k=1)) == [newest.chunk_ids[0]]
    assert vectors.count() == 20 + 30 * 10
    assert len(vectors.search(unit(1), scope=EVERYTHING, k=12)) == 12
    assert set(ids(vectors.search(unit(1), scope=EVERYTHING, k=99))) == {*kept.chunk_ids, *newest.chunk_ids}
    vectors.fold()
    assert vectors.count() == 20 + 10


def test_any_history_gives_the_exact_answer(
    vectors: Vectors, open_index: OpenVectors, writer: Writer, records: Records
) -> None:
    """M04: after any mix of storing, replacing and folding, two readers find what a full comparison finds."""
    chance, reader = random.Random(7), open_index()
    for step in range(120):
        project = chance.choice(["one", "two"])
        writer.store(f"{chance.randrange(12)}.md", text(chance.randrange(5), f"step {step}"), project=project)
        if chance.random() < 0.2:
            vectors.fold()
        query, k = unit(10_000 + step), chance.choice([1, 3, 10, 100])
        wanted = expected(records, query, project, k)
        assert ids(vectors.search(query, scope=Scope(project), k=k)) == wanted
        if chance.random() < 0.3:
            assert ids(reader.search(query, scope=Scope(project), k=k)) == wanted
    assert set(records.snapshots()) == {"one", "two"}


def test_folding_writes_one_file_when_it_is_worth_it(
    vectors: Vectors, writer: Writer, records: Records, directory: Path
) -> None:
    """M04, X09: a snapshot is written when enough is new, replaces the older one, and is its owner's alone."""
    writer.store("a.md", text(FOLD_ROWS - 1))
    vectors.fold()
    assert records.snapshots() == {}
    writer.store("b.md", text(2))
    vectors.fold()
    first = records.snapshots()["default"]
    assert (first.rows, first.model, first.dimension) == (FOLD_ROWS + 1, "test-model", DIMENSION)
    vectors.fold()
    assert records.snapshots()["default"] == first
    writer.store("c.md", text(FOLD_ROWS))
    vectors.fold()
    second = records.snapshots()["default"]
    assert second.seq > first.seq
    merged = f"flat-0-{second.seq}-{2 * FOLD_ROWS + 1}"  # the older segment is not much larger than what is new
    assert {path.name for path in (directory / "default").iterdir()} == {
        *(f"{second.seq}.json", f"{merged}.faiss", f"{merged}.npy", "writer.lock")
    }
    assert {stat.S_IMODE(path.stat().st_mode) for path in (directory / "default").iterdir()} == {0o600}
    assert {stat.S_IMODE(path.stat().st_mode) for path in (directory, directory / "default")} == {0o700}
    assert vectors.count() == 2 * FOLD_ROWS + 1


def test_ids_are_the_same_after_a_restart(vectors: Vectors, open_index: OpenVectors, writer: Writer) -> None:
    """M13: an index opened anew gives the ids it gave before, from the file and from the newer rows."""
    writer.store("a.md", text(FOLD_ROWS))
    vectors.fold()
    writer.store("b.md", text(3))
    before = vectors.search(unit(42), scope=EVERYTHING, k=20)
    vectors.close()
    assert open_index().search(unit(42), scope=EVERYTHING, k=20) == before
    assert len(before) == FOLD_ROWS + 3


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-40])


def _scratched(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 255
    file.write_bytes(content)


@pytest.mark.parametrize("harm", [Path.unlink, _cut, _scratched])
@pytest.mark.parametrize("harmed", ["*.json", "*.faiss", "*.npy"])
@pytest.mark.parametrize("restarted", [True, False])
def test_a_lost_file_is_rebuilt_from_the_rows(
    vectors: Vectors,
    open_index: OpenVectors,
    writer: Writer,
    directory: Path,
    harm: Callable[[Path], None],
    harmed: str,
    restarted: bool,
) -> None:
    """M04: without its file, or with a damaged one, the answers are right, the check says so, a fold repairs it."""
    writer.store("a.md", text(3 * FOLD_ROWS))
    vectors.fold()
    before = vectors.search(unit(1), scope=EVERYTHING, k=5)
    vectors.check()
    if restarted:
        vectors = open_index()
    harm(*(directory / "default").glob(harmed))
    assert vectors.search(unit(1), scope=EVERYTHING, k=5) == before
    with pytest.raises(StoreUnavailable, match="default"):
        vectors.check()
    vectors.fold()
    vectors.check()
    assert vectors.search(unit(1), scope=EVERYTHING, k=5) == before
    assert open_index().search(unit(1), scope=EVERYTHING, k=5) == before


def test_a_project_is_no_path(vectors: Vectors, writer: Writer, directory: Path) -> None:
    """A project's name cannot lead out of the directory."""
    writer.store("a.md", text(FOLD_ROWS), project="../out")
    with pytest.raises(InvalidArguments):
        vectors.fold("../out")
    vectors.fold()
    assert not directory.exists()
    assert not (directory.parent / "out").exists()


FOLDING = """if True:
    import sys
    from pathlib import Path
    import numpy as np
    from ltmc_jobs.stores.contracts import Scope
    from ltmc_jobs.stores.records_sqlite import SqliteRecords
    from ltmc_jobs.stores.faiss_index.plan import Sizes
    from ltmc_jobs.stores.vectors_faiss import FaissVectors
    records = SqliteRecords(Path(sys.argv[1]))
    vectors = FaissVectors(Path(sys.argv[2]), records, "test-model", 16, sizes=Sizes(fold_rows=1))
    print("ready", flush=True)
    for line in sys.stdin:
        vectors.fold()
        found = vectors.search(np.ones(16, np.float32), scope=Scope("default"), k=1000)
        print(len(found), flush=True)
    records.close()
"""


def test_several_processes_fold_and_search(
    vectors: Vectors, writer: Writer, memory_file: Path, directory: Path, records: Records
) -> None:
    """M04: one writer at a time; readers of an older file go on and then see the newer."""
    processes = [start_python(FOLDING, memory_file, directory) for _ in range(2)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for n in range(1, 16):
        writer.store(f"{n}.md", text(3))
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("fold\n")
            process.stdin.flush()
        assert len(vectors.search(unit(n), scope=EVERYTHING, k=1000)) == 3 * n
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == f"{3 * n}\n"
    for process in processes:
        process.communicate(timeout=30)
        assert process.returncode == 0
    assert records.snapshots()["default"].rows == 45
    assert len(list((directory / "default").glob("*.json*"))) == 1
    rows = [int(path.stem.rpartition("-")[2]) for path in (directory / "default").glob("*.faiss*")]
    assert sum(rows) == 45, "no file is left that nothing names"


def test_stores_are_opened_as_the_settings_say(make_settings: Callable[..., object]) -> None:
    """M01, M04, M06: records, index and graph stand under the home, the graph beside the records."""
    settings = make_settings()
    records = open_store(Records, settings)  # type: ignore[arg-type]
    writer = Writer(records)
    version = writer.store("a.md", "one\n")
    vectors = open_store(Vectors, settings, records, "test-model", DIMENSION)  # type: ignore[arg-type]
    assert ids(vectors.search(unit(1), scope=EVERYTHING, k=1)) == list(version.chunk_ids)
    graph = open_store(Graph, settings)  # type: ignore[arg-type]
    assert graph.count() == {"nodes": 0, "edges": 0}
    for store in (vectors, graph, records):
        store.close()
