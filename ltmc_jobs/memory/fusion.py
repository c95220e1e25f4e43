"""Fusion: what meaning and words say of chunks, and what their neighbours say, as one score between 0 and 1."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from ltmc_jobs.memory.kinds import Kind, Weights, kind_of
from ltmc_jobs.stores.contracts import Surroundings, WordsFound

COSINE_FLOOR = -0.1  # what a text about something else has at least: fixed, so that scores do not hang on the worst one
UNSEEN = 0.7  # the meaning of a chunk that has no vector yet, as a share of its words'
FAR = 0.5  # what a neighbour two away counts, of what the next one does


class Fused(NamedTuple):
    """A chunk with its score and what it is made of, each between 0 and 1; no meaning where it has no vector."""

    chunk_id: int
    score: float
    kind: Kind
    meaning: float | None
    words: float
    neighbours: float


def fuse(
    cosines: Mapping[int, float], found: WordsFound, around: Surroundings, weights: Mapping[Kind, Weights]
) -> list[Fused]:
    """Rank the chunks of `around`, best first.

    Each signal is scaled by its best value; the words of code by what a chunk with all of them would have. A chunk's
    score is the mean of its own and its neighbours', which count by their distance.
    """
    own = _own(cosines, found, around, weights)
    near = _both_ways(around.near)
    ranked = []
    for chunk_id, one in own.items():
        said = total = 0.0
        if step := weights[one.kind].neighbours:
            for other, distance in near.get(chunk_id, {}).items():
                weigh = step if distance == 1 else step * FAR
                total += weigh
                said += weigh * own[other].score if other in own else 0.0
        ranked.append(one._replace(score=(one.score + said) / (1 + total), neighbours=said / total if total else 0.0))
    ranked.sort(key=lambda one: (-one.score, one.chunk_id))
    return list(_turns_once(ranked, around))


def _own(
    cosines: Mapping[int, float], found: WordsFound, around: Surroundings, weights: Mapping[Kind, Weights]
) -> dict[int, Fused]:
    """The chunks with scores of their own."""
    reach = max(max(cosines.values(), default=0.0) - COSINE_FLOOR, 1e-9)
    best_words = max(found.scores.values(), default=0.0)
    own = {}
    for chunk_id, (_, resource_type, is_part) in around.places.items():
        kind = kind_of(resource_type, is_part=is_part)
        scale = found.ideal if kind is Kind.CODE else best_words
        words = found.strength * min(1.0, found.scores.get(chunk_id, 0.0) / scale) if scale else 0.0
        meaning = max(0.0, cosines[chunk_id] - COSINE_FLOOR) / reach if chunk_id in cosines else None
        weigh = weights[kind]
        seen = UNSEEN * words if meaning is None else meaning
        score = weigh.meaning * seen + weigh.words * words if cosines else words
        own[chunk_id] = Fused(chunk_id, score, kind, meaning, words, 0.0)
    return own


def _turns_once(ranked: Iterable[Fused], around: Surroundings) -> Iterator[Fused]:
    """Of a turn in a conversation its best chunk alone, as long as it may be: what is asked for is who said what."""
    seen: set[int] = set()
    for one in ranked:
        resource_id, _, is_part = around.places[one.chunk_id]
        if not is_part:
            yield one
        elif resource_id not in seen:
            seen.add(resource_id)
            yield one


def _both_ways(near: Mapping[int, Mapping[int, int]]) -> dict[int, dict[int, int]]:
    """Who is near whom, also seen from those that were only found beside others."""
    known = {chunk_id: dict(others) for chunk_id, others in near.items()}
    for chunk_id, others in near.items():
        for other, distance in others.items():
            known.setdefault(other, {})[chunk_id] = distance
    return known
