"""Reindexing: another model's vectors are replaced at once, whole, whatever happens on the way."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from ltmc_jobs.errors import ModelMismatch
from ltmc_jobs.llm import minilm
from ltmc_jobs.llm.embedding import Embedder
from ltmc_jobs.llm.embedding_openvino import OpenvinoEmbedder
from ltmc_jobs.services import Services
from ltmc_jobs.settings import Settings
from ltmc_jobs.stores import open_store
from ltmc_jobs.stores.contracts import ChunkText, Document, Scope, Vectors, Version, digest_of
from tests.fleet import open_installation
from workers.jobs.embedding import decoded, embed_texts
from workers.jobs.indexing import index_versions
from workers.jobs.reindexing import TEXTS, reindex

OLD, WIDTH = "an-older-model", 24
EVERYTHING = Scope("default")
SAID = ("The harbour opens in March.", "Bread needs flour, water and salt.", "The train to Basel leaves at nine.")


@pytest.fixture(scope="module")
def embedder(tmp_path_factory: pytest.TempPathFactory) -> Embedder:
    """The bundled model, loaded once for all tests here."""
    return OpenvinoEmbedder(tmp_path_factory.mktemp("models"))


@pytest.fixture
def services(settings: Settings, embedder: Embedder) -> Iterator[Services]:
    """Those of an installation whose settings name the bundled model."""
    made = Services.open(open_installation(settings))
    vars(made.tiers)["_embedders"][embedder.model] = embedder
    yield made
    made.close()


def record(services: Services, texts: Sequence[str], *, file_name: str = "a.md", project: str = "default") -> Version:
    """A document of these chunks."""
    starts = [sum(map(len, texts[:at])) for at in range(len(texts))]
    chunks = [ChunkText(text, at, at + len(text)) for text, at in zip(texts, starts, strict=True)]
    document = Document(project=project, file_name=file_name, content="".join(texts))
    return services.tiers.records.record(document, chunks, job_id=str(uuid.uuid4()))


def store(services: Services, texts: Sequence[str], **where: str) -> Version:
    """A document that an older model embedded."""
    version = record(services, texts, **where)
    vectors = np.random.default_rng(len(texts)).standard_normal((len(texts), WIDTH)).astype(np.float32)
    services.tiers.records.add_vectors(list(zip(version.chunk_ids, vectors, strict=True)), model=OLD)
    assert services.tiers.records.publish(version.resource_id, version.version)
    return version


def ask(services: Services, question: str) -> list[int]:
    """The chunks nearest to a question, by the model in use."""
    vector = services.tiers.embedder.encode([question])[0]
    return [hit.chunk_id for hit in services.tiers.vectors.search(vector, scope=EVERYTHING, k=3)]


class CutShort(Exception):
    """What a test raises to end a run."""


@dataclass
class Told:
    """A running job's context: keeps what it is told, and ends the run at a given moment."""

    at: int = 0
    act: Callable[[], Any] | None = None
    steps: list[tuple[float, float | None]] = field(default_factory=list)

    def progress(self, done: float, total: float | None = None, message: str = "") -> None:
        assert message.startswith("embedding")
        self.steps.append((done, total))
        if self.act is not None and len(self.steps) == self.at:
            self.act()


class Late(Services):
    """Services that find what an embedding job of the old model left."""

    def result_of(self, job_id: str) -> Any:
        return {"model": OLD, "count": 1, "digests": [job_id], "dimension": WIDTH, "vectors": ""}


def during(services: Services, told: Told) -> Services:
    """The same services, in a job."""
    return replace(services, job=told)  # type: ignore[arg-type]


def test_another_model_is_refused_until_everything_is_embedded_anew(services: Services) -> None:
    """M04: the refusal names the cure, and after it the same question is answered by the new model, in all projects."""
    version = store(services, SAID)
    other = store(services, SAID[:1], project="other")
    with pytest.raises(ModelMismatch, match="ltmc reindex"):
        ask(services, "When does the harbour open?")
    told = Told()
    done = reindex(during(services, told))
    assert done == {"model": minilm.MODEL, "before": OLD, "vectors": 4, "changed": True}
    assert told.steps == [(4, 4)]
    assert services.tiers.records.vector_model() == (minilm.MODEL, minilm.DIMENSION)
    assert ask(services, "When does the harbour open?")[0] == version.chunk_ids[0]
    vector = services.tiers.embedder.encode([SAID[0]])[0]
    assert services.tiers.vectors.scores(vector, other.chunk_ids, project="other")[other.chunk_ids[0]] > 0.999
    services.tiers.vectors.check()
    assert reindex(services)["changed"] is False
    assert reindex(services, force=True)["changed"] is True
    assert ask(services, "Which train goes to Basel?")[0] == version.chunk_ids[2]


def old_index(services: Services) -> Vectors:
    """The index of the old model, as a process that has it at hand searches it."""
    return open_store(Vectors, services.shared.settings, services.tiers.records, OLD, WIDTH)


def test_the_old_model_stays_in_use_until_the_switch(services: Services) -> None:
    """M04: vectors, searches and new documents are the old model's up to the end, and then the new one's, whole."""
    version = store(services, SAID)
    seen: list[Any] = []

    def look() -> None:
        tiers = services.tiers
        seen.append((tiers.model, tiers.records.vector_model()))
        late = store(services, ["A late remark."], file_name="late.md")
        seen.append(
            {hit.chunk_id for hit in old_index(services).search(np.ones(WIDTH, np.float32), scope=EVERYTHING, k=9)}
        )
        seen.append({*version.chunk_ids, *late.chunk_ids})

    told = Told(at=1, act=look)
    assert reindex(during(services, told))["vectors"] == 4
    (model, stored), found, wanted = seen
    assert (model, stored, found) == (OLD, (OLD, WIDTH), wanted)
    assert told.steps == [(3, 3), (4, 4)], "what came meanwhile is embedded before the switch"
    assert services.tiers.model == minilm.MODEL


def test_a_run_that_was_cut_short_goes_on(services: Services) -> None:
    """M04: what was embedded is not embedded again, and nothing is half switched in between."""
    version = store(services, [f"Remark {n}." for n in range(TEXTS + 20)])

    def stop() -> None:
        raise CutShort

    with pytest.raises(CutShort):
        reindex(during(services, Told(at=1, act=stop)))
    assert services.tiers.records.vector_model() == (OLD, WIDTH)
    assert services.tiers.model == OLD
    again = Told()
    assert reindex(during(services, again))["vectors"] == TEXTS + 20
    assert again.steps == [(TEXTS + 20, TEXTS + 20)]
    assert ask(services, "Remark 17.")[0] == version.chunk_ids[17]


def test_a_job_that_the_switch_overtook_uses_the_new_model(services: Services) -> None:
    """M04: vectors of the old model that were on their way never get into the new index."""
    store(services, SAID)
    version = record(services, ["The library closes at six."], file_name="late.md")
    assert reindex(services)["changed"] is True
    late = Late(services.shared, services.tiers)
    done = index_versions(late, [[version.resource_id, version.version, 1]], ["made-by-the-old-one"])
    assert done["published"] == 1
    assert ask(services, "When does the library close?")[0] == version.chunk_ids[0]


def test_texts_that_have_vectors_are_not_embedded_again(services: Services) -> None:
    """P04: a chunk whose text is stored already takes over that vector; where it is gone, it is made."""
    (made,) = embed_texts([services], [{"texts": list(SAID), "model": minilm.MODEL}])
    assert isinstance(made, dict)
    first = record(services, SAID)
    rows = [(chunk, vector) for chunk, vector in zip(first.chunk_ids, decoded(made), strict=True)]
    services.tiers.records.add_vectors(rows, model=minilm.MODEL)
    services.tiers.vector_rows.note_texts(zip(first.chunk_ids, made["digests"], strict=True))
    known = services.tiers.vector_rows.known(map(digest_of, (*SAID, "new")), model=minilm.MODEL)
    assert set(known) == set(made["digests"])
    assert services.tiers.vector_rows.known(made["digests"], model="other") == {}
    second = record(services, SAID[::-1], file_name="b.md")
    index_versions(services, [[second.resource_id, second.version, 3]], [])
    vectors = {row.chunk_id: row.vector for row in services.tiers.records.vectors_after(0, project="default")}
    for one, other in zip(first.chunk_ids, second.chunk_ids[::-1], strict=True):
        np.testing.assert_array_equal(vectors[one], vectors[other])
    third = record(services, ["Nobody said this."], file_name="c.md")
    index_versions(services, [[third.resource_id, third.version, 1]], [])
    assert ask(services, "Nobody said this.")[0] == third.chunk_ids[0]
