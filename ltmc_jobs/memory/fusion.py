"""Fusion: what meaning and words say of chunks, and what their neighbours say, as one score between 0 and 1."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
) -> Iterator[Fused]:
    """Rank the chunks of `around`, best first; of a turn in a conversation its best chunk alone, however long it is.

    Each signal is scaled by its best value; the words of code by what a chunk with all of them would have. A chunk's
    score is the mean of its own and its neighbours', which count by their distance.
    """
    own = _own(cosines, found, around, weights)
    said, total = _said(own, around, weights)
    scores = {chunk_id: (one.score + said[chunk_id]) / (1 + total[chunk_id]) for chunk_id, one in own.items()}
    turns: set[int] = set()
    for chunk_id in sorted(own, key=lambda one: (-scores[one], one)):
        place = around.places[chunk_id]
        if place.is_part and place.resource_id in turns:
            continue
        turns.add(place.resource_id)
        one, counted = own[chunk_id], total[chunk_id]
        near = said[chunk_id] / counted if counted else 0.0
        yield Fused(chunk_id, scores[chunk_id], one.kind, one.meaning, one.words, near)


class _Own(NamedTuple):
    """What a chunk has by itself."""

    score: float
    kind: Kind
    meaning: float | None
    words: float


def _own(
    cosines: Mapping[int, float], found: WordsFound, around: Surroundings, weights: Mapping[Kind, Weights]
) -> dict[int, _Own]:
    reach = max(max(cosines.values(), default=0.0) - COSINE_FLOOR, 1e-9)
    best_words = max(found.scores.values(), default=0.0)
    kinds: dict[tuple[str, bool], Kind] = {}
    own = {}
    for chunk_id, (_, resource_type, is_part) in around.places.items():
        kind = kinds.get((resource_type, is_part))
        if kind is None:
            kind = kinds[resource_type, is_part] = kind_of(resource_type, is_part=is_part)
        words = found.scores.get(chunk_id, 0.0)
        if words:
            words = found.strength * min(1.0, words / (found.ideal if kind is Kind.CODE else best_words))
        cosine = cosines.get(chunk_id)
        meaning = None if cosine is None else max(0.0, cosine - COSINE_FLOOR) / reach
        weigh = weights[kind]
        seen = UNSEEN * words if meaning is None else meaning
        score = weigh.meaning * seen + weigh.words * words if cosines else words
        own[chunk_id] = _Own(score, kind, meaning, words)
    return own


def _said(
    own: Mapping[int, _Own], around: Surroundings, weights: Mapping[Kind, Weights]
) -> tuple[dict[int, float], dict[int, float]]:
    """What the neighbours of each chunk say, and how much they count together.

    Who was found beside others only is near them, too. Who is gone since says nothing.
    """
    said, total = dict.fromkeys(own, 0.0), dict.fromkeys(own, 0.0)
    steps = {kind: weigh.neighbours for kind, weigh in weights.items()}
    for chunk_id, others in around.near.items():
        for other, distance in others.items():
            if chunk_id not in own or other not in own:
                continue
            pairs = ((chunk_id, other),) if other in around.near else ((chunk_id, other), (other, chunk_id))
            for one, near in pairs:
                step = steps[own[one].kind]
                weigh = step if distance == 1 else step * FAR
                total[one] += weigh
                said[one] += weigh * own[near].score
    return said, total
