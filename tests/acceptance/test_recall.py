"""How much is found, on public sets that stand beside the project: a part of each, and all of them if asked for.

The same through HTTP, with times, and beside another memory, is `benchmarks/retrieval.py`. What is held to here are the
project's own bounds; on a part of a set they are a little below what that part gives.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.retrieval_peers.cases import Case, Room, Span, read
from benchmarks.retrieval_peers.scores import score
from ltmc_jobs.errors import StoreUnavailable
from ltmc_jobs.memory import ingestion, retrieval
from ltmc_jobs.memory.kinds import WEIGHTS
from ltmc_jobs.memory.retrieval import Match, Question
from ltmc_jobs.services import Tiers
from ltmc_jobs.stores.contracts import Document, Scope
from tests.conftest import build_settings

BATCH = 200
Cases = dict[str, Case]
Found = Callable[..., dict[str, float]]


@pytest.fixture(scope="module")
def tiers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tiers]:
    made = Tiers(build_settings(tmp_path_factory.mktemp("recall")))
    yield made
    made.close()


@pytest.fixture(scope="module")
def cases(data_folder: Path) -> Cases:
    """The whole sets by their names."""
    return {case.name: case for case in read(data_folder, quick=False)}


@pytest.fixture(scope="module")
def found(tiers: Tiers) -> Found:
    """`found(case, match)`: the means of a case's figures; `lost=True` is without the model."""
    kept: set[str] = set()

    def ask(case: Case, match: Match = "both", *, lost: bool = False) -> dict[str, float]:
        scores = []
        for room in case.rooms:
            project = f"{case.name} {room.name} {len(room.texts)}"
            if project not in kept:
                keep(tiers, project, room)
                kept.add(project)
            for question in room.questions:
                asked = Question(question.text, Scope(project), 10, match)
                answer = retrieval.retrieve(tiers, lose if lost else lambda text: tiers.embedder.encode([text])[0],
                                            asked, WEIGHTS)  # fmt: skip
                assert bool(answer.missing) == lost
                spans = [Span(one.file_name, one.start, one.end) for one in answer.retrieved_chunks]
                scores.append(score(case, question, spans))
        return {name: float(np.mean([one[name] for one in scores])) for name in scores[0]}

    return ask


def lose(_text: str) -> np.ndarray:
    raise StoreUnavailable("the model is away")


def keep(tiers: Tiers, project: str, room: Room) -> None:
    """Store a room's texts as the tool and the jobs that follow do."""
    for at in range(0, len(room.texts), BATCH):
        recorded = []
        for text in room.texts[at : at + BATCH]:
            document = Document(
                project=project, file_name=text.name, content=text.content, resource_type=text.resource_type,
                conversation_id=room.name if room.is_conversation else None,
            )  # fmt: skip
            recorded.append(ingestion.record(tiers.records, document, job_id=uuid.uuid4().hex))
        ids = [chunk_id for version, _ in recorded for chunk_id in version.chunk_ids]
        vectors = tiers.embedder.encode([chunk.text for _, chunks in recorded for chunk in chunks])
        tiers.records.add_vectors(list(zip(ids, vectors, strict=True)), model=tiers.model)
        for version, _ in recorded:
            tiers.records.publish(version.resource_id, version.version)


def part(case: Case, step: int) -> Case:
    """Each so-manieth room."""
    return replace(case, rooms=case.rooms[::step])


def test_turns_of_a_dialogue_are_found(cases: Cases, found: Found) -> None:
    """A02: by both signals, by words alone, and without the model."""
    few = part(cases["dialogue"], 10)
    assert found(few)["recall@10"] >= 0.70
    assert found(few, "words")["recall@10"] >= 0.66
    assert found(few, lost=True)["recall@10"] >= 0.72


def test_code_is_found_by_what_it_does(cases: Cases, found: Found) -> None:
    """A24: the query is in plain English, and stored is the code alone."""
    room = cases["code"].rooms[0]
    few = replace(room, texts=room.texts[:200], questions=room.questions[:200:2])
    figures = found(replace(cases["code"], rooms=(few,)))
    assert figures["hit@5"] >= 0.90
    assert figures["MRR@10"] >= 0.80


def test_passages_of_a_document_are_found(cases: Cases, found: Found) -> None:
    """M10: the first five chunks have nearly all of the characters that answer."""
    corpus = next(room for room in cases["documents"].rooms if room.name == "state_of_the_union")
    assert found(replace(cases["documents"], rooms=(corpus,)))["recall@5"] >= 0.94


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_whole_sets(cases: Cases, found: Found) -> None:
    """A02, A24, M10: what the project promises."""
    dialogue, code = found(cases["dialogue"]), found(cases["code"])
    assert dialogue["recall@10"] >= 0.70
    assert found(cases["dialogue"], "words")["recall@10"] >= 0.60
    assert (code["hit@10"] >= 0.90, code["MRR@10"] >= 0.69) == (True, True), code
    assert found(cases["documents"])["recall@5"] >= 0.94
