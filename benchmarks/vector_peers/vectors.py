"""Vectors like those of texts: topics, subjects within them, and noise; the same each time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float32]

DIMENSION = 384
INNER = 48  # directions in which texts really differ
TOPICS = 200
NOISE = 0.5
NEAREST = 10
PAGE_ROWS = 50_000


def make(rows: int, seed: int) -> Matrix:
    """Unit vectors, shape (rows, 384)."""
    basis = np.random.default_rng(7).standard_normal((INNER, DIMENSION)).astype(np.float32)
    topics = np.random.default_rng(8).standard_normal((TOPICS, INNER)).astype(np.float32)
    chance = np.random.default_rng(seed)
    made = np.empty((rows, DIMENSION), np.float32)
    for begin in range(0, rows, PAGE_ROWS):
        page = made[begin : begin + PAGE_ROWS]
        inner = topics[chance.integers(0, TOPICS, len(page))]
        inner = inner + chance.standard_normal((len(page), INNER)).astype(np.float32)
        noise = chance.standard_normal((len(page), DIMENSION)).astype(np.float32)
        page[:] = inner @ basis + NOISE * np.float32(INNER**0.5 / 2) * noise
        page /= np.linalg.norm(page, axis=1, keepdims=True)
    return made


def write(folder: Path, rows: int, queries: int, more: int) -> None:
    """The stored vectors, the queries with their true nearest, and those that are added later, as files."""
    stored, asked = make(rows, 1), make(queries, 2)
    np.save(folder / "stored.npy", stored)
    np.save(folder / "asked.npy", asked)
    np.save(folder / "more.npy", make(more, 3))
    np.save(folder / "nearest.npy", exact(stored, asked))


def exact(stored: Matrix, asked: Matrix) -> npt.NDArray[np.int64]:
    """The places of the ten nearest of each query, by comparing with all."""
    best = np.empty((len(asked), 0), np.int64)
    likeness = np.empty((len(asked), 0), np.float32)
    for begin in range(0, len(stored), PAGE_ROWS):
        found = asked @ stored[begin : begin + PAGE_ROWS].T
        best = np.concatenate([best, np.broadcast_to(np.arange(begin, begin + found.shape[1]), found.shape)], axis=1)
        likeness = np.concatenate([likeness, found], axis=1)
        order = np.argsort(-likeness, axis=1)[:, :NEAREST]
        best, likeness = np.take_along_axis(best, order, 1), np.take_along_axis(likeness, order, 1)
    return best
