"""Vectors: which model they are of, and what becomes of the others when one index cannot be written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ltmc_jobs.errors import Misconfigured, ModelMismatch
from ltmc_jobs.llm import minilm
from ltmc_jobs.stores.contracts import Records, Scope, Vectors
from ltmc_jobs.stores.faiss_index.plan import Sizes
from ltmc_jobs.stores.vectors_faiss import FaissVectors
from ltmc_jobs.tiers import Tiers
from tests.contracts.conftest import DIMENSION, Writer, unit

EVERYTHING = Scope("default")

ROWS = 8
TEXT = "".join(f"line {n}\n" for n in range(ROWS))


@pytest.fixture
def directory(memory_file: Path) -> Path:
    """Where the index files of this test are."""
    return memory_file.parent / "faiss_index"


@pytest.fixture
def vectors(records: Records, directory: Path) -> Vectors:
    """The index over the test's records."""
    return FaissVectors(directory, records, "test-model", DIMENSION, sizes=Sizes(fold_rows=ROWS))


def test_another_dimension_is_refused(writer: Writer, records: Records, vectors: Vectors, directory: Path) -> None:
    """M04: an index of another model is refused, with the cure, and so is a query that does not fit."""
    writer.store("a.md", TEXT)
    vectors.fold()
    other = FaissVectors(directory, records, "test-model", 8)
    for call in (
        lambda: other.search(unit(1, 8), scope=EVERYTHING, k=1),
        lambda: other.fold("default"),
        other.count,
    ):
        with pytest.raises(ModelMismatch, match=r"EMBEDDING_MODEL.*ltmc reindex"):
            call()
    with pytest.raises(ModelMismatch):
        vectors.search(unit(1, 8), scope=EVERYTHING, k=1)
    with pytest.raises(ModelMismatch):
        vectors.search(np.full(DIMENSION, np.nan, np.float32), scope=EVERYTHING, k=1)


def test_another_model_of_the_same_width_is_refused(writer: Writer, records: Records, directory: Path) -> None:
    """M04: numbers of two models mean different things however many there are; an empty index is no exception."""
    other = FaissVectors(directory, records, "other-model", DIMENSION, sizes=Sizes(fold_rows=1))
    assert other.search(unit(1), scope=EVERYTHING, k=1) == []
    writer.store("a.md", TEXT)
    for call in (
        lambda: other.search(unit(1), scope=EVERYTHING, k=1),
        lambda: other.fold("default"),
        other.count,
    ):
        with pytest.raises(ModelMismatch, match=r"test-model.*other-model.*EMBEDDING_MODEL.*ltmc reindex"):
            call()
    assert records.snapshots() == {}


def test_folding_all_goes_past_one_that_fails(
    vectors: Vectors, writer: Writer, records: Records, directory: Path
) -> None:
    """M04: a project whose file cannot be written keeps no other from its own, and one alone is told of it."""
    for project in ("a", "b", "c"):
        writer.store("a.md", TEXT, project=project)
    directory.mkdir(parents=True)
    (directory / "b").write_text("in the way")
    vectors.fold("a")
    assert set(records.snapshots()) == {"a"}
    vectors.fold()
    assert set(records.snapshots()) == {"a", "c"}
    with pytest.raises(Misconfigured, match="/b cannot be used"):
        vectors.fold("b")


@pytest.mark.parametrize("name", [minilm.MODEL, f"sentence-transformers/{minilm.MODEL}"])
def test_both_names_of_the_bundled_model_are_one(name: str, make_settings: Callable[..., object]) -> None:
    """M04: what one name stored, the other finds, and neither loads another runtime for it."""
    tiers = Tiers(make_settings(EMBEDDING_MODEL=name))  # type: ignore[arg-type]
    assert tiers.model == minilm.MODEL
    version = Writer(tiers.records).record("a", "a\n")
    tiers.records.add_vectors([(version.chunk_ids[0], unit(1, minilm.DIMENSION))], model=minilm.MODEL)
    assert tiers.records.publish(version.resource_id, version.version)
    assert len(tiers.vectors.search(unit(1, minilm.DIMENSION), scope=EVERYTHING, k=1)) == 1
    assert not vars(tiers)["_embedders"]
    tiers.close()
