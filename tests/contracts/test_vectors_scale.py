"""Vectors: scopes that are searched whole, segments that merge, graphs that are grown, and what a kill leaves."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from ltmc_jobs.stores.contracts import Hit, Records, Scope
from ltmc_jobs.stores.faiss_index.plan import Sizes
from ltmc_jobs.stores.records_sqlite import SqliteRecords
from ltmc_jobs.stores.vectors_faiss import NARROW, FaissVectors
from tests.contracts.conftest import DIMENSION, Writer, start_python, unit

EVERYTHING = Scope("default")
TINY = Sizes(fold_rows=8, growth=2, flat_rows=40, recent_rows=20, step_rows=30, judged_rows=8)
NO_GRAPH = Sizes(fold_rows=8, judged_rows=8)
OpenVectors = Callable[..., FaissVectors]


@pytest.fixture
def directory(memory_file: Path) -> Path:
    """Where the index files of this test are."""
    return memory_file.parent / "faiss_index"


@pytest.fixture
def open_index(records: Records, directory: Path) -> Iterator[OpenVectors]:
    """Open the test's index, as another process would."""
    opened: list[FaissVectors] = []

    def open_another(sizes: Sizes = TINY) -> FaissVectors:
        opened.append(FaissVectors(directory, records, "test-model", DIMENSION, sizes=sizes))
        return opened[-1]

    yield open_another
    for vectors in opened:
        vectors.close()


def fill(writer: Writer, rows: int, *, seed: int = 1, **more: str) -> dict[int, np.ndarray]:
    """Store a document of so many random chunks; chunk id → vector."""
    matrix = np.random.default_rng(seed).standard_normal((rows, DIMENSION)).astype(np.float32)
    return place(writer, matrix, f"{seed}.md", **more)


def place(writer: Writer, matrix: np.ndarray, file_name: str, **more: str) -> dict[int, np.ndarray]:
    """Store a document whose chunks have these vectors."""
    matrix = matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
    version = writer.record(file_name, f"{matrix[0, 0]}\n" * len(matrix), **more)
    writer.records.add_vectors(list(zip(version.chunk_ids, matrix, strict=True)), model="test-model")
    assert writer.records.publish(version.resource_id, version.version)
    return dict(zip(version.chunk_ids, matrix, strict=True))


def nearest(vectors: dict[int, np.ndarray], query: np.ndarray, k: int) -> list[int]:
    """The answer by comparing with every vector."""
    return sorted(vectors, key=lambda chunk: (-float(vectors[chunk] @ query), chunk))[:k]


def ids(hits: list[Hit]) -> list[int]:
    return [hit.chunk_id for hit in hits]


def check_nearest(hits: list[Hit], vectors: dict[int, np.ndarray], query: np.ndarray, k: int) -> None:
    """The answer is that of a comparison; where 16 bits cannot tell two chunks, either may come first."""
    wanted = [float(vectors[chunk] @ query) for chunk in nearest(vectors, query, k)]
    assert [float(vectors[hit.chunk_id] @ query) for hit in hits] == pytest.approx(wanted, abs=1e-3)
    assert len(set(ids(hits))) == len(hits)


def files(directory: Path) -> set[str]:
    """Kinds and rows of the segments, such as graph-30."""
    stems = [path.stem.split("-") for path in (directory / "default").glob("*.faiss")]
    return {f"{kind}-{rows}" for kind, _, _, rows in stems}


def test_a_type_is_found_behind_ten_thousand_nearer_chunks(open_index: OpenVectors, writer: Writer) -> None:
    """A12: top_k of that type, the true ones, whether the type is few chunks or many; nobody else's change that."""
    query, chance = unit(1), np.random.default_rng(2)
    few = fill(writer, 40, seed=3, resource_type="few")
    many = fill(writer, NARROW + 500, seed=4, resource_type="many")
    vectors = open_index(NO_GRAPH)
    scopes = {kind: Scope("default", resource_types=(kind,)) for kind in ("few", "many")}
    alone = {kind: vectors.search(query, scope=scope, k=10) for kind, scope in scopes.items()}
    place(writer, query + 0.2 * chance.standard_normal((10_000, DIMENSION)), "near.md", resource_type="other")
    vectors.fold()
    for kind, mine in (("few", few), ("many", many)):
        hits = vectors.search(query, scope=scopes[kind], k=10)
        assert ids(hits) == nearest(mine, query, 10)
        assert hits == [Hit(hit.chunk_id, pytest.approx(hit.score, abs=1e-6)) for hit in alone[kind]]
    assert not set(ids(vectors.search(query, scope=EVERYTHING, k=10))) & {*few, *many}
    both = Scope("default", resource_types=("few", "many"))
    assert ids(vectors.search(query, scope=both, k=10)) == nearest(few | many, query, 10)


def test_many_searches_at_once_give_what_each_gives(open_index: OpenVectors, writer: Writer) -> None:
    """P07: the batch is the same search, in narrow scopes too, and where there is nothing."""
    vectors = open_index()
    fill(writer, 30, resource_type="note")
    vectors.fold()
    fill(writer, 5, seed=2, conversation_id="c")
    queries = np.stack([unit(n) for n in range(20)])
    for scope in (EVERYTHING, Scope("default", "c"), Scope("default", "d"), Scope("empty")):
        for k in (0, 1, 7, 99):
            alone = [vectors.search(query, scope=scope, k=k) for query in queries]
            many = vectors.search_many(queries, scope=scope, k=k)
            assert [ids(hits) for hits in many] == [ids(hits) for hits in alone]
    assert vectors.search_many(queries[:0], scope=EVERYTHING, k=3) == []


def test_scores_are_those_of_every_part(open_index: OpenVectors, writer: Writer) -> None:
    """Cosines of given chunks, from the graph, a segment and the tail; of unknown ones none."""
    vectors, query = open_index(), unit(9)
    stored = fill(writer, 50)
    vectors.fold()
    vectors.build("default")
    for seed, rows in ((2, 9), (3, 3)):
        stored |= fill(writer, rows, seed=seed)
        vectors.fold()
    found = vectors.scores(query, [*stored, 10**9], project="default")
    assert found == {chunk: pytest.approx(float(vector @ query), abs=1e-3) for chunk, vector in stored.items()}
    assert vectors.scores(query, [], project="default") == {}
    assert vectors.scores(query, list(stored), project="other") == {}


def test_any_history_with_graphs_gives_the_exact_answer(
    open_index: OpenVectors, writer: Writer, records: Records, directory: Path
) -> None:
    """M04: after any mix of storing, replacing, folding and building, two readers find what a comparison finds."""
    chance, vectors, reader = random.Random(7), open_index(), open_index()
    stored: dict[str, dict[int, np.ndarray]] = {}
    kinds: set[str] = set()
    for step in range(150):
        name = f"{chance.randrange(12)}.md"
        matrix = np.random.default_rng(step).standard_normal((chance.randrange(1, 12), DIMENSION)).astype(np.float32)
        stored[name] = place(writer, matrix, name)
        if chance.random() < 0.4:
            vectors.fold("default")
        if chance.random() < 0.2:
            vectors.build("default")
            assert not vectors.is_build_due("default")
        kinds |= {name.partition("-")[0] for name in files(directory)} if directory.exists() else set()
        query, k = unit(10_000 + step), chance.choice([1, 3, 10, 100])
        living = {chunk: vector for one in stored.values() for chunk, vector in one.items()}
        for index in (vectors, reader) if chance.random() < 0.3 else (vectors,):
            check_nearest(index.search(query, scope=EVERYTHING, k=k), living, query, k)
    assert kinds == {"flat", "graph"}
    vectors.check()
    vectors.build("default")
    assert vectors.count() < 2 * records.count()["vectors"], "what is dead is dropped"


def test_a_graph_finds_what_a_comparison_finds(open_index: OpenVectors, writer: Writer, directory: Path) -> None:
    """M11: recall of the first ten at least .98, in a graph that is walked, and of one that was grown."""
    sizes = Sizes(flat_rows=2000, recent_rows=200, step_rows=2500)
    vectors = open_index(sizes)
    stored: dict[int, np.ndarray] = {}
    for seed in range(1, 4):
        stored |= fill(writer, 2200, seed=seed)
        vectors.fold()
        vectors.build("default")
    assert files(directory) == {"graph-6600"}
    all_ids, matrix = np.array(list(stored)), np.stack(list(stored.values()))
    found = 0
    for seed in range(100):
        query = unit(seed)
        exact = all_ids[np.argsort(-(matrix @ query))[:10]].tolist()
        hits = vectors.search(query, scope=EVERYTHING, k=10)
        assert len(hits) == 10
        found += len(set(ids(hits)) & set(exact))
    assert found / 1000 >= 0.98


def test_a_fold_leaves_large_segments_alone(open_index: OpenVectors, writer: Writer, directory: Path) -> None:
    """M11: what adding a vector costs does not grow with what is there."""
    vectors, reader = open_index(NO_GRAPH), open_index(NO_GRAPH)
    fill(writer, 3000)
    vectors.fold()
    reader.search(unit(1), scope=EVERYTHING, k=1)
    opened = vars(vars(reader)["_shelf"])["_loaded"]["default"].segments[0]
    large = next((directory / "default").glob("*.faiss")).stat()
    for seed in range(2, 40):
        fill(writer, 8, seed=seed)
        vectors.fold()
        sizes = [path.stat() for path in (directory / "default").glob("*.faiss")]
        assert large.st_ino in {found.st_ino for found in sizes}
        assert len(sizes) <= 6
        reader.search(unit(1), scope=EVERYTHING, k=1)
        assert vars(vars(reader)["_shelf"])["_loaded"]["default"].segments[0] is opened, "it is not read again"
    assert len(vectors.search(unit(1), scope=EVERYTHING, k=4000)) == 3000 + 38 * 8


def test_what_is_dead_is_dropped(open_index: OpenVectors, writer: Writer, directory: Path) -> None:
    """Replaced chunks cost nothing for long: a segment with few living ones is written anew, the rest stays."""
    vectors = open_index(Sizes(fold_rows=8, flat_rows=60, judged_rows=8))
    kept = fill(writer, 100)
    vectors.fold()
    vectors.build("default")
    fill(writer, 30, seed=2)
    vectors.fold()
    assert files(directory) == {"graph-100", "flat-30"}
    assert not vectors.is_build_due("default")
    writer.store("1.md", "one\n", seed=1)
    assert vectors.is_build_due("default")
    vectors.build("default")
    assert files(directory) == {"flat-30"}
    assert not vectors.is_build_due("default")
    assert vectors.count() == 31
    assert not set(kept) & set(ids(vectors.search(unit(1), scope=EVERYTHING, k=200)))


BUILDING = """if True:
    import sys
    from pathlib import Path
    from ltmc_jobs.stores.faiss_index.plan import Sizes
    from ltmc_jobs.stores.records_sqlite import SqliteRecords
    from ltmc_jobs.stores.vectors_faiss import FaissVectors
    records = SqliteRecords(Path(sys.argv[1]))
    vectors = FaissVectors(Path(sys.argv[2]), records, "test-model", 16, sizes=Sizes(flat_rows=1000))
    print("building", flush=True)
    vectors.build("default")
    print("built", flush=True)
"""


@pytest.mark.parametrize("after_seconds", [0.0, 0.15, 0.4])
def test_a_killed_build_leaves_what_was_there(
    open_index: OpenVectors, writer: Writer, directory: Path, memory_file: Path, after_seconds: float
) -> None:
    """M04: whenever its process is killed, the index is the old one or the new one, and the next build does it."""
    vectors = open_index(Sizes(flat_rows=1000))
    stored = fill(writer, 4000)
    vectors.fold()
    process = start_python(BUILDING, memory_file, directory)
    assert process.stdout is not None
    assert process.stdout.readline() == "building\n"
    time.sleep(after_seconds)  # any moment will do
    process.kill()
    process.communicate()
    vectors.check()
    check_nearest(open_index().search(unit(5), scope=EVERYTHING, k=100), stored, unit(5), 100)
    vectors.build("default")
    assert files(directory) == {"graph-4000"}
    assert not list((directory / "default").glob("*.tmp"))
    check_nearest(open_index().search(unit(5), scope=EVERYTHING, k=100), stored, unit(5), 100)


class Overtaken(SqliteRecords):
    """Records of a reader whom a writer overtakes between two of its steps."""

    act: Callable[[], object] | None = None

    def in_scope(self, scope: Scope, *, limit: int) -> list[int] | None:
        act, self.act = self.act, None
        if act is not None:
            act()
        return super().in_scope(scope, limit=limit)


def test_what_is_published_during_a_search_of_a_narrow_scope_is_found(
    writer: Writer, directory: Path, memory_file: Path
) -> None:
    """A01: the old version or the new one, and never neither."""
    fill(writer, 4, conversation_id="mine")
    records = Overtaken(memory_file)
    vectors = FaissVectors(directory, records, "test-model", DIMENSION)
    newer: dict[int, np.ndarray] = {}
    records.act = lambda: newer.update(place(writer, np.eye(3, DIMENSION), "1.md", conversation_id="mine"))
    found = vectors.search(unit(1), scope=Scope("default", "mine"), k=9)
    assert ids(found) == nearest(newer, unit(1), 9)
    records.close()
