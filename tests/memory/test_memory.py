"""Memory on SQLite, FAISS and the model: ids that last, words and meaning, neighbours, and races between them."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from ltmc_jobs.memory import retrieval
from ltmc_jobs.memory.kinds import WEIGHTS
from ltmc_jobs.memory.memory import Memory
from ltmc_jobs.memory.retrieval import Question
from ltmc_jobs.queues.contract import ANYONE, JobSpec
from ltmc_jobs.queues.envelope import Call
from ltmc_jobs.registry import JobKind, Queue
from ltmc_jobs.settings import Settings
from ltmc_jobs.stores.contracts import Edge, Hit, Scope
from ltmc_jobs.stores.vectors_faiss import FaissVectors
from ltmc_jobs.tiers import Tiers
from tests.conftest import build_settings

KIND = JobKind(name="test", path="nowhere", queue=Queue.DEFAULT)
OpenMemory = Callable[..., Memory]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """One home for this file: preparing the model takes a second. Every test has a project of its own."""
    return build_settings(tmp_path_factory.mktemp("memory"))


@pytest.fixture(scope="module")
def tiers(home: Settings) -> Iterator[Tiers]:
    made = Tiers(home)
    yield made
    made.close()


@pytest.fixture
def project() -> str:
    return f"p-{uuid.uuid4().hex}"


@pytest.fixture
def memory(tiers: Tiers, project: str) -> Memory:
    """The memory of one call."""
    return during_a_call(tiers, project)


def during_a_call(tiers: Tiers, project: str, following: dict[str, list[JobSpec]] | None = None) -> Memory:
    call = Call(str(uuid.uuid4()), KIND, {}, project, ANYONE, "trace", None)
    return Memory(tiers, call, {} if following is None else following)


def note(memory: Memory, file_name: str, content: str) -> None:
    """Record it; what makes it searchable is not run."""
    memory.store([{"file_name": file_name, "content": content}])


def test_ids_stay_the_same_when_the_memory_is_opened_again(memory: Memory, home: Settings, project: str) -> None:
    """M13: two documents of one call have ids of their own, each finds its text, also after a restart."""
    first = memory.add_vectors(["The harbour opens in March.", "Basalt is a dark stone."], file_name="a")
    second = memory.add_vectors(["Kelp grows in cold water."], file_name="b")
    assert len({*first, *second}) == 3
    found = memory.search_similar("When does the harbour open?", k=3)
    assert (found[0]["id"], found[0]["file_name"]) == (first[0], "a")
    assert memory.search_similar("seaweed in the sea", k=1)[0]["id"] == second[0]
    again = Tiers(home)
    assert during_a_call(again, project).search_similar("When does the harbour open?", k=3) == found
    again.close()


def test_more_than_there_are_gives_all_and_nothing_gives_nothing(memory: Memory) -> None:
    """M13: an empty index answers with an empty list, a large k with everything, best first."""
    assert memory.search_similar("anything", k=5) == []
    ids = memory.add_vectors(["one stone", "two stones", "three stones"], file_name="a")
    found = memory.search_similar("stones", k=1000)
    assert sorted(hit["id"] for hit in found) == sorted(ids)
    assert [hit["score"] for hit in found] == sorted((hit["score"] for hit in found), reverse=True)


def test_two_documents_of_one_call_have_jobs_of_their_own(tiers: Tiers, project: str) -> None:
    """M07: what follows from the second takes nothing from the first; the same again adds nothing."""
    following: dict[str, list[JobSpec]] = {}
    memory = during_a_call(tiers, project, following)
    for name in ("a.md", "b.md", "a.md"):
        assert memory.store([{"file_name": name, "content": f"The text of {name}."}]).version == 1
    specs = [spec for named in following.values() for spec in named]
    assert len({spec.id for spec in specs}) == len(specs) == 6


def test_shared_stop_words_outrank_no_meaning(memory: Memory) -> None:
    """A02: notes that wait for their vectors come behind the right passage unless they have its telling words."""
    memory.add_vectors(["The ferry to the island leaves at seven in the morning."], file_name="right")
    for n in range(5):
        note(memory, f"{n}.md", f"What is this and when does it do the thing, at the end of my day {n}?")
    note(memory, "meeting.md", "Our boat meeting is moved.")
    found = memory.retrieve("When does the boat to the island leave in the morning?", top_k=5).retrieved_chunks
    assert (found[0].file_name, found[0].match) == ("right", "both")
    assert [hit.file_name for hit in found] == ["right", "meeting.md"]
    assert [hit.score for hit in found] == sorted((hit.score for hit in found), reverse=True)


def test_a_telling_word_is_found_at_once(memory: Memory) -> None:
    """A02: what was stored a moment ago is first where nothing means more; a rare word counts for more."""
    memory.add_vectors(["Amber is a resin.", "Gantries are bridges for cranes."], file_name="old")
    note(memory, "new.md", "A zebrafinch sings in the project.")
    for n in range(9):
        note(memory, f"{n}.md", f"The project has a plan {n}.")
    found = memory.retrieve("zebrafinch project").retrieved_chunks
    assert (found[0].file_name, found[0].match) == ("new.md", "words")
    assert found[0].score > 2 * found[1].score
    only_stop_words = memory.retrieve("what is this", top_k=100).retrieved_chunks
    assert all(hit.score < 0.06 for hit in only_stop_words if hit.match == "words")


def test_a_large_document_has_related_ones(memory: Memory, tiers: Tiers, project: str) -> None:
    """M08: hundreds of chunks do not use up what is shown of the graph."""
    chunks = memory.add_vectors([f"Basalt, part {n}." for n in range(300)], file_name="zz-large.md")
    document = ("Document", "zz-large.md")
    edges = [Edge(project, document, "HAS_CHUNK", ("Chunk", str(chunk))) for chunk in chunks]
    tiers.graph.merge([], [*edges, Edge(project, document, "RELATED_TO", ("Document", "stones.md"))])
    found = memory.retrieve("basalt", top_k=3)
    assert [(near.file_name, near.relation, near.linked_to) for near in found.related] == [
        ("stones.md", "RELATED_TO", "zz-large.md")
    ]


def test_what_a_text_names_takes_no_related_ones_place(memory: Memory, tiers: Tiers, project: str) -> None:
    """M08: hundreds of people and addresses that texts name; each passage found shows its first link first."""
    edges = []
    for name in ("one.md", "two.md"):
        memory.add_vectors([f"Obsidian, by {name}."], file_name=name)
        here = ("Document", name)
        edges += [Edge(project, here, "MENTIONS", ("Entity", f"@{n:03}")) for n in range(300)]
        edges += [Edge(project, here, "SIMILAR_TO", ("Document", f"like-{name}-{n:02}")) for n in range(25)]
    edges += [Edge(project, ("Document", f"like-one.md-{n:02}"), "SIMILAR_TO", ("Document", "one.md")) for n in (0, 1)]
    tiers.graph.merge([], [*edges, Edge(project, ("Document", "one.md"), "CITES", ("Document", "two.md"))])
    found = memory.retrieve("obsidian", top_k=3).related
    assert len(found) == len(set(found)) == 20
    for name in ("one.md", "two.md"):
        own = [near.file_name for near in found if near.linked_to == name]
        assert own == [f"like-{name}-{n:02}" for n in range(10)]


class Over:
    """The stores, with another index."""

    def __init__(self, tiers: Tiers, vectors: FaissVectors) -> None:
        self.records, self.graph, self.vectors = tiers.records, tiers.graph, vectors


class Overtaken(FaissVectors):
    """The index of a reader whom a writer overtakes between two of its steps."""

    def overtake(self, publish: Callable[[], Any]) -> None:
        self._publish: Callable[[], Any] | None = publish

    def search(self, vector: npt.NDArray[np.float32], *, scope: Scope, k: int) -> list[Hit]:
        found = super().search(vector, scope=scope, k=k)
        publish, self._publish = self._publish, None
        if publish is not None:
            publish()
        return found


def test_a_version_published_during_a_search_is_found(
    memory: Memory, tiers: Tiers, project: str, tmp_path: Path
) -> None:
    """A01: a reader gets the old version or the new one, and never neither."""
    memory.add_vectors(["The harbour opens in March."], file_name="plan")
    vectors = Overtaken(tmp_path / "index", tiers.records, tiers.model, 384)
    newer = during_a_call(tiers, project)
    vectors.overtake(lambda: newer.add_vectors(["The harbour opens in June."], file_name="plan"))
    found = retrieval.retrieve(
        Over(tiers, vectors), lambda text: tiers.embedder.encode([text])[0],
        Question("When does the harbour open?", Scope(project), 3), WEIGHTS,
    )  # fmt: skip
    assert [hit.content for hit in found.retrieved_chunks] == ["The harbour opens in June."]
