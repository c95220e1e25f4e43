"""The way out: search by meaning and by words within a scope, weigh both, join the records, follow the graph."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from heapq import nlargest
from itertools import islice, zip_longest
from typing import Literal, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from ltmc_jobs.errors import Misconfigured, ModelMismatch, StoreUnavailable
from ltmc_jobs.memory.fusion import Fused, fuse
from ltmc_jobs.memory.kinds import Kind, Weights
from ltmc_jobs.results.memory import MissingSignal, RelatedDocument, RetrievedChunk, RetrievedMemory, Signals
from ltmc_jobs.stores.contracts import Chunk, Edge, End, Graph, Records, Scope, Surroundings, Vectors, WordsFound

DEPTH = 50  # candidates of each signal; four times as many change nothing
RELATED_LIMIT = 20
STRUCTURE = ("HAS_CHUNK", "NEXT", "PREVIOUS")
TRIES = 3
NO_WORDS = WordsFound({}, 0.0)

Match = Literal["both", "meaning", "words"]
T = TypeVar("T")


class Stores(Protocol):
    """What is searched."""

    @property
    def records(self) -> Records: ...
    @property
    def vectors(self) -> Vectors: ...
    @property
    def graph(self) -> Graph: ...


@dataclass(frozen=True, slots=True)
class Question:
    """What is looked for, where, and how."""

    text: str
    scope: Scope
    top_k: int = 10
    match: Match = "both"
    explain: bool = False
    only: Collection[int] | None = None  # of these chunks alone, which lie in the scope


Vector = npt.NDArray[np.float32]
Embed = Callable[[str], Vector]


def retrieve(stores: Stores, embed: Embed, question: Question, weights: Mapping[Kind, Weights]) -> RetrievedMemory:
    """The best passages for a question, and the documents that the graph links to them.

    What is recorded but not yet embedded is found by its words. Where the model or the index cannot answer, the words
    do alone; where the graph cannot, nothing is related; `missing` says so.
    """
    missing: list[MissingSignal] = []
    vector = None
    for _ in range(TRIES):
        try:
            if question.match != "words" and not missing:
                vector = embed(question.text) if vector is None else vector
            ranked, is_whole = _ranked(stores, question, vector, weights)
        except (ModelMismatch, Misconfigured, StoreUnavailable) as error:
            if missing:
                raise  # the words cannot answer either
            vector, ranked, is_whole = None, [], False
            missing.append(MissingSignal("meaning", str(error)))
            continue
        found = list(islice(ranked, question.top_k))
        chunks = stores.records.chunks([one.chunk_id for one in found])
        if is_whole and len(chunks) == len(found):
            break  # else a newer version took a chunk's place since it was found
    passages = [_passage(chunks[one.chunk_id], one, question, weights) for one in found if one.chunk_id in chunks]
    near: list[RelatedDocument] = []
    try:
        near = related(stores.graph, question.scope.project, [passage.file_name for passage in passages])
    except (Misconfigured, StoreUnavailable) as error:
        missing.append(MissingSignal("links", str(error)))
    return RetrievedMemory(
        query=question.text,
        context="\n\n".join(passage.content for passage in passages),
        retrieved_chunks=passages,
        total_results=len(passages),
        related=near,
        missing=missing,
    )


def related(graph: Graph, project: str, file_names: Sequence[str]) -> list[RelatedDocument]:
    """Documents one step away from the given ones: the first link of each of these, then the second, and so on."""
    ends = {("Document", name): None for name in file_names}
    # Those that were found may stand before the others at each.
    fan_out = RELATED_LIMIT + len(ends)
    held = graph.around(project, list(ends), without=STRUCTURE, far_label="Document", fan_out=fan_out)
    turns = zip_longest(*(_far_documents(end, held.get(end, ()), ends.keys()) for end in ends))
    return list(islice((one for turn in turns for one in turn if one is not None), RELATED_LIMIT))


def _far_documents(near: End, edges: Iterable[Edge], found: Set[End]) -> Iterable[RelatedDocument]:
    """What one document is linked to, each once for a relation, without what was found itself."""
    far = ((edge.far(near), edge.relation) for edge in edges)
    return dict.fromkeys(RelatedDocument(end[1], relation, near[1]) for end, relation in far if end not in found)


def _ranked(
    stores: Stores, question: Question, vector: Vector | None, weights: Mapping[Kind, Weights]
) -> tuple[Iterable[Fused], bool]:
    """The chunks found, best first, and whether all of them are still there."""
    depth = max(DEPTH, 2 * question.top_k)
    # Words first: what becomes searchable in between is then found twice, and not missed.
    words = NO_WORDS if question.match == "meaning" else _by_words(stores.records, question)
    cosines = {} if vector is None else _by_meaning(stores.vectors, question, vector, depth)
    best = nlargest(depth, words.scores, key=words.scores.__getitem__)
    candidates = cosines.keys() | set(best)
    around = stores.records.surroundings(candidates)
    is_whole = candidates <= around.places.keys()
    if question.only is not None or question.match == "meaning":  # each stands for itself
        return fuse(cosines, words, Surroundings(_only(around.places, candidates), {}), weights), is_whole
    if question.match == "words":
        around = _among(around, words.scores.keys())  # a passage with none of the words is no answer
    else:
        around = _among(around, stores.records.readable(around.places, scope=question.scope))
    if vector is not None:
        unknown = [chunk_id for chunk_id in around.places if chunk_id not in cosines]
        cosines |= stores.vectors.scores(vector, unknown, project=question.scope.project)
    return fuse(cosines, words, around, weights), is_whole


def _by_words(records: Records, question: Question) -> WordsFound:
    found = records.search_words(question.text, scope=question.scope)
    if question.only is None:
        return found
    allowed = set(question.only)
    return replace(found, scores={chunk: score for chunk, score in found.scores.items() if chunk in allowed})


def _by_meaning(vectors: Vectors, question: Question, vector: Vector, depth: int) -> dict[int, float]:
    if question.only is not None:
        return vectors.scores(vector, list(question.only), project=question.scope.project)
    return {hit.chunk_id: hit.score for hit in vectors.search(vector, scope=question.scope, k=depth)}


def _among(around: Surroundings, shown: Set[int]) -> Surroundings:
    """What stands around, without what may not be answered with."""
    if around.places.keys() <= shown:
        return around
    near = {chunk_id: _only(others, shown) for chunk_id, others in around.near.items() if chunk_id in shown}
    return Surroundings(_only(around.places, shown), near)


def _only(found: Mapping[int, T], ids: Set[int]) -> dict[int, T]:
    return {chunk_id: one for chunk_id, one in found.items() if chunk_id in ids}


def _passage(chunk: Chunk, found: Fused, question: Question, weights: Mapping[Kind, Weights]) -> RetrievedChunk:
    seen: Match = "words" if found.meaning is None else "both" if found.words else "meaning"
    return RetrievedChunk(
        chunk_id=chunk.chunk_id,
        resource_id=chunk.resource_id,
        file_name=chunk.file_name,
        resource_type=chunk.resource_type,
        version=chunk.version,
        chunk_index=chunk.chunk_index,
        start=chunk.start,
        end=chunk.end,
        content=chunk.content,
        score=round(found.score, 6),
        match=seen,
        conversation_id=chunk.conversation_id,
        speaker=chunk.speaker,
        occurred_at=chunk.occurred_at,
        created_at=chunk.created_at,
        signals=_signals(found, weights) if question.explain else None,
    )


def _signals(found: Fused, weights: Mapping[Kind, Weights]) -> Signals:
    weigh = weights[found.kind]
    return Signals(
        kind=found.kind.value,
        meaning=None if found.meaning is None else round(found.meaning, 6),
        words=round(found.words, 6),
        neighbours=round(found.neighbours, 6),
        weights={"meaning": weigh.meaning, "words": weigh.words, "neighbours": weigh.neighbours},
    )
