"""Retrieval by both signals: scopes that know of no other, neighbours, explained scores, doing without a model."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from ltmc_jobs.memory import ingestion
from ltmc_jobs.memory.fusion import fuse
from ltmc_jobs.memory.kinds import WEIGHTS, Kind
from ltmc_jobs.memory.memory import Memory
from ltmc_jobs.queues.contract import ANYONE
from ltmc_jobs.queues.envelope import Call
from ltmc_jobs.registry import JobKind, Queue
from ltmc_jobs.results.memory import RetrievedChunk
from ltmc_jobs.stores.contracts import Document, Place, Scope, Surroundings, WordsFound
from ltmc_jobs.tiers import Tiers
from tests.conftest import build_settings

TALK = (
    "Anna: the harbour opens in March",
    "Ben: who will repaint the lighthouse?",
    "Anna: my brother, as soon as the paint is there",
    "Ben: the paint came with the ferry yesterday",
    "Anna: then he begins on Monday",
    "Ben: shall we eat something?",
    "Anna: a soup, please",
    "Ben: the soup is cold, and so is the harbour",
)


@pytest.fixture(scope="module")
def tiers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tiers]:
    """One home for this file; every test has a project of its own."""
    made = Tiers(build_settings(tmp_path_factory.mktemp("retrieval")))
    yield made
    made.close()


@pytest.fixture
def project() -> str:
    return f"p-{uuid.uuid4().hex}"


def memory_of(tiers: Tiers, project: str) -> Memory:
    kind = JobKind(name="test", path="nowhere", queue=Queue.DEFAULT)
    return Memory(tiers, Call(str(uuid.uuid4()), kind, {}, project, ANYONE, "trace", None), {})


def keep(tiers: Tiers, documents: Sequence[Document], *, embedded: bool = True) -> None:
    """Record documents; with their vectors, as the jobs that follow do, or to be found by words alone."""
    recorded = [ingestion.record(tiers.records, one, job_id=uuid.uuid4().hex) for one in documents]
    if not embedded:
        return
    chunks = [(chunk_id, chunk.text) for version, cut in recorded
              for chunk_id, chunk in zip(version.chunk_ids, cut, strict=True)]  # fmt: skip
    vectors = tiers.embedder.encode([text for _, text in chunks])
    rows = [(chunk_id, vector) for (chunk_id, _), vector in zip(chunks, vectors, strict=True)]
    tiers.records.add_vectors(rows, model=tiers.model)
    for version, _ in recorded:
        assert tiers.records.publish(version.resource_id, version.version)


def turns(project: str, said: Sequence[str] = TALK, conversation_id: str = "talk") -> list[Document]:
    """Each turn as a document of a conversation."""
    return [
        Document(
            project=project, file_name=f"{conversation_id}-{n}", content=text, conversation_id=conversation_id,
            resource_type="note",
        )
        for n, text in enumerate(said)
    ]  # fmt: skip


def shown(found: Sequence[RetrievedChunk]) -> list[tuple[str, float, str]]:
    return [(one.file_name, one.score, one.match) for one in found]


@pytest.mark.parametrize("match", ["both", "meaning", "words"])
def test_a_noisy_neighbour_changes_no_answer(tiers: Tiers, project: str, match: str) -> None:
    """A02: other projects, and within one other conversations and types, move no place and no score."""
    memory, question = memory_of(tiers, project), "who paints the lighthouse of the harbour?"
    scopes = [Scope(project), Scope(project, "talk"), Scope(project, None, ("note",))]
    keep(tiers, turns(project))

    def ask(scope: Scope) -> list[tuple[str, float, str]]:
        return shown(memory.retrieve(question, scope=scope, match=match).retrieved_chunks)  # type: ignore[arg-type]

    before = [ask(scope) for scope in scopes]
    assert all(before)
    noise = [f"Zoe: who paints the lighthouse of the harbour, number {n}?" for n in range(70)]
    keep(tiers, turns(f"{project}-other", noise))
    assert [ask(scope) for scope in scopes] == before
    keep(tiers, [replace(one, resource_type="mail") for one in turns(project, noise, "else")])
    assert [ask(scope) for scope in scopes[1:]] == before[1:]


def test_neighbours_decide_among_what_has_the_words(tiers: Tiers, project: str) -> None:
    """A02: asked for words alone, every passage has one of them, and the turns around say which is meant."""
    keep(tiers, turns(project))
    memory = memory_of(tiers, project)
    found = memory.retrieve("soup of the harbour", match="words", explain=True).retrieved_chunks
    assert {one.file_name for one in found} == {"talk-0", "talk-6", "talk-7"}
    assert found[0].file_name == "talk-7"
    lone, beside = (next(one for one in found if one.file_name == name) for name in ("talk-0", "talk-6"))
    assert beside.score > lone.score, "the next turn speaks of it, too"
    assert beside.signals is not None
    assert beside.signals.neighbours > 0
    assert beside.match == lone.match == "words"


def test_a_neighbour_outside_of_the_scope_is_no_answer(tiers: Tiers, project: str) -> None:
    """A02: of a conversation of notes and mails, a search in the notes finds no mail beside them."""
    said = [replace(one, resource_type=("note", "mail")[n % 2]) for n, one in enumerate(turns(project))]
    keep(tiers, said)
    found = memory_of(tiers, project).retrieve("the harbour", scope=Scope(project, "talk", ("note",))).retrieved_chunks
    assert {one.file_name for one in found} == {"talk-0", "talk-2", "talk-4", "talk-6"}


def test_a_neighbour_that_is_gone_says_nothing() -> None:
    """A01: a version may be replaced between two steps of a search; what is left is ranked."""
    places = {1: Place(1, "note", True), 2: Place(2, "note", True)}
    near = {1: {2: 1, 3: 1}, 4: {1: 2}}
    ranked = list(fuse({}, WordsFound({1: 2.0, 2: 1.0, 4: 3.0}, 4.0), Surroundings(places, near), WEIGHTS))
    assert [one.chunk_id for one in ranked] == [1, 2]
    assert ranked[1].neighbours == pytest.approx(2 / 3)


def test_a_turn_is_found_by_what_is_said_around_it(tiers: Tiers, project: str) -> None:
    """A02: an answer has none of the words of its question, which the turn before has."""
    keep(tiers, turns(project))
    found = memory_of(tiers, project).retrieve("who will repaint the lighthouse?", top_k=2).retrieved_chunks
    assert [one.file_name for one in found] == ["talk-1", "talk-2"]


def test_a_score_is_explained(tiers: Tiers, project: str) -> None:
    """A02: each signal with its weight; of a passage without neighbours they make the score."""
    documents = [
        Document(project=project, file_name=name, content=text)
        for name, text in (("a.md", "Kelp grows in cold water."), ("b.md", "The harbour opens in March."))
    ]
    keep(tiers, documents)
    memory = memory_of(tiers, project)
    for one in memory.retrieve("what grows in water?", explain=True).retrieved_chunks:
        said = one.signals
        assert said is not None
        assert said.meaning is not None
        weigh = WEIGHTS[Kind.DOCUMENT]
        assert (said.kind, said.neighbours) == ("document", 0.0)
        assert said.weights == {"meaning": weigh.meaning, "words": weigh.words, "neighbours": weigh.neighbours}
        assert one.score == pytest.approx(weigh.meaning * said.meaning + weigh.words * said.words, abs=1e-5)
    assert all(one.signals is None for one in memory.retrieve("what grows in water?").retrieved_chunks)


def test_a_wanting_model_is_named_and_words_answer(tmp_path: Path, project: str) -> None:
    """A02: without the model the words and the neighbours do, and `missing` says what was gone without."""
    # This back end says so at once; the other first loads its library, which takes seconds.
    wanting = {"EMBEDDING_MODEL": "no-such-model-anywhere", "EMBEDDING_BACKEND": "openvino"}
    without = Tiers(build_settings(tmp_path, **wanting))
    keep(without, turns(project), embedded=False)
    memory = memory_of(without, project)
    found = memory.retrieve("who will repaint the lighthouse?", top_k=3)
    assert [one.signal for one in found.missing] == ["meaning"]
    assert "no-such-model-anywhere" in found.missing[0].reason
    assert found.retrieved_chunks[0].file_name == "talk-1"
    assert {one.file_name for one in found.retrieved_chunks} == {"talk-0", "talk-1", "talk-2"}
    assert memory.retrieve("who will repaint the lighthouse?", match="words").missing == []
    without.close()


def test_a_graph_that_is_away_keeps_nothing_from_being_found(
    tmp_path: Path, project: str, free_port: Callable[[], int]
) -> None:
    """A02: the graph is for navigation; without it the answer is the same, and says what it lacks."""
    away = {"NEO4J_URI": f"bolt://127.0.0.1:{free_port()}", "NEO4J_PASSWORD": "wrong"}
    without = Tiers(build_settings(tmp_path, **away))
    keep(without, turns(project), embedded=False)
    found = memory_of(without, project).retrieve("who will repaint the lighthouse?", top_k=3, match="words")
    assert (found.retrieved_chunks[0].file_name, found.related) == ("talk-1", [])
    assert [one.signal for one in found.missing] == ["links"]
    without.close()
