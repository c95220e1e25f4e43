"""Likeness: which documents mean nearly the same: each by its mean vector, pairs that are near to each other both ways.

Stored documents are found through the index, so that the cost grows with what is asked and hardly with what is kept.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ltmc_jobs.stores.contracts import Corpus, Scope, Vectors

NEAREST = 5  # of each document; a pair stands in the lists of both
CANDIDATES = 12  # documents that the index names for one, before their mean vectors are compared
CHUNKS_MAX = 400  # that the index is asked for, where a few large documents hold all the nearest chunks
BLOCK = 1024  # rows of the product of all given ones with each other

Vector = npt.NDArray[np.float32]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two documents by name, the lesser name first, and their cosine."""

    names: tuple[str, str]
    score: float


class Likeness:
    """The documents of one project, compared as they stand now."""

    def __init__(self, corpus: Corpus, vectors: Vectors, project: str) -> None:
        self._corpus, self._index, self._project = corpus, vectors, project
        self._holders: dict[int, int] = {}
        self._vectors: dict[str, Vector] = {}
        self._names: dict[int, str] = {}

    def pairs(
        self, given: Mapping[str, Vector], stored: Mapping[str, int], *, threshold: float, progress: Progress
    ) -> list[Pair]:
        """Pairs of a given document and another, given or stored, best first.

        `given` are unit vectors by name; those of them that are `stored` have an id there.
        """
        if not given:
            return []
        self._vectors |= given
        self._names |= {number: name for name, number in stored.items()}
        near = _near_each_other(given)
        asked: dict[str, list[int]] = {}
        for done, (name, vector) in enumerate(given.items()):
            asked[name] = self._found(vector, stored.get(name))
            progress(done, len(given))
        self._learn(asked.values())
        for name, numbers in asked.items():
            near[name].update(self._named(numbers))
        # What was found must have the given one among its own nearest, so its neighbours are asked for as well.
        found_by: dict[str, set[str]] = defaultdict(set)
        for name, others in near.items():
            for other in others - given.keys():
                found_by[other].add(name)
        known = {name: number for number, name in self._names.items()}
        beyond = {name: self._found(self._vectors[name], known[name]) for name in found_by}
        self._learn(beyond.values())
        near |= {name: self._named(beyond[name]) | finders for name, finders in found_by.items()}
        return self._mutual(given, near, threshold)

    def _mutual(self, given: Mapping[str, Vector], near: dict[str, set[str]], threshold: float) -> list[Pair]:
        best: dict[str, dict[str, float]] = {}
        for name, others in near.items():
            listed = sorted(others - {name})
            if not listed:
                continue
            cosines = np.stack([self._vectors[other] for other in listed]) @ self._vectors[name]
            scored = sorted(zip(listed, map(float, cosines), strict=True), key=lambda pair: (-pair[1], pair[0]))
            best[name] = {other: score for other, score in scored[:NEAREST] if score >= threshold}
        found = {
            (min(name, other), max(name, other)): min(score, 1.0)
            for name in given
            for other, score in best.get(name, {}).items()
            if name in best.get(other, {})
        }
        return sorted(
            (Pair(names, score) for names, score in found.items()), key=lambda pair: (-pair.score, pair.names)
        )

    def _found(self, vector: Vector, own: int | None) -> list[int]:
        """The ids of documents with chunks near a vector, nearest first, without its own."""
        chunks = CANDIDATES
        while True:
            chunks *= 4
            hits = [hit.chunk_id for hit in self._index.search(vector, scope=Scope(self._project), k=chunks)]
            unknown = [hit for hit in hits if hit not in self._holders]
            self._holders |= self._corpus.holders(unknown)
            numbers = dict.fromkeys(self._holders[hit] for hit in hits if hit in self._holders)
            numbers.pop(own, None)  # type: ignore[arg-type]
            if len(numbers) >= CANDIDATES or len(hits) < chunks or chunks >= CHUNKS_MAX:
                return list(numbers)[:CANDIDATES]

    def _learn(self, found: Iterable[Sequence[int]]) -> None:
        """Read names and vectors of the documents found that are not known yet."""
        unknown = {number for numbers in found for number in numbers} - self._names.keys()
        vectors = self._corpus.vectors(unknown)
        for number, document in self._corpus.numbered(self._project, vectors).items():
            if document.file_name not in self._vectors:
                self._names[number] = document.file_name
                self._vectors[document.file_name] = vectors[number]

    def _named(self, numbers: Iterable[int]) -> set[str]:
        return {self._names[number] for number in numbers if number in self._names}


def _near_each_other(given: Mapping[str, Vector]) -> dict[str, set[str]]:
    """Of each given document the nearest other given ones: one product of matrices, block by block."""
    names = list(given)
    matrix = np.stack([given[name] for name in names])
    near: dict[str, set[str]] = {}
    most = min(NEAREST + 1, len(names))
    for first in range(0, len(names), BLOCK):
        cosines = matrix[first : first + BLOCK] @ matrix.T
        found = np.argpartition(-cosines, most - 1, axis=1)[:, :most]
        near |= {
            names[first + at]: {names[other] for other in row if other != first + at} for at, row in enumerate(found)
        }
    return near
