"""Plan: which segments a fold keeps, and which rows it writes anew."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ltmc_jobs.stores.faiss_index.loaded import Loaded
from ltmc_jobs.stores.faiss_index.manifest import Kind
from ltmc_jobs.stores.faiss_index.segment import Segment

SAMPLED = 500  # chunks of a segment that are asked about
LIVING_SHARE = 0.7  # with fewer, the segment is written anew


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """When what is written; a row is written anew about `growth` times for each level of segments.

    A search compares the tail and the flat segments row by row, so they are kept small: beyond `flat_rows` they go into
    one graph, and beside a graph they hold no more than `recent_rows`, or that share of it.
    """

    fold_rows: int = 256  # a tail of so many goes to a file
    growth: int = 4  # a segment is merged with newer ones that have a fourth of its rows
    flat_rows: int = 50_000
    recent_rows: int = 8192
    recent_share: float = 1 / 64
    step_rows: int = 100_000  # at most so many go into the graph before it is written
    judged_rows: int = 1024  # a smaller segment costs too little to ask how many of its chunks still live


@dataclass(frozen=True, slots=True)
class Step:
    """Keep these segments, and make one of the rows above `since`, or into a copy of `onto`; then those `after` it."""

    kind: Kind
    kept: tuple[Segment, ...]
    since: int
    upto: int | None = None  # None: to the newest row
    most: int | None = None
    onto: Segment | None = None
    after: tuple[Segment, ...] = ()


def is_due(loaded: Loaded, sizes: Sizes) -> bool:
    """Whether a fold has something to write."""
    return loaded.is_damaged or loaded.tail.rows >= sizes.fold_rows


def fold_step(loaded: Loaded, sizes: Sizes) -> Step:
    """The tail as a segment, with those before it that are not much larger."""
    kept, rows = list(loaded.segments), loaded.tail.rows
    while kept and kept[-1].note.kind == "flat" and _merges(kept[-1].rows, rows, sizes):
        rows += kept.pop().rows
    return Step("flat", tuple(kept), kept[-1].note.seq if kept else 0, most=sizes.flat_rows)


def build_step(loaded: Loaded, sizes: Sizes, living_share: Callable[[Segment], float]) -> Step | None:
    """What a fold leaves undone because it takes long: dropping what is dead, and growing the graph."""
    for place, segment in enumerate(loaded.segments):
        if segment.rows >= sizes.judged_rows and living_share(segment) < LIVING_SHARE:
            return _rewrite(loaded.segments, place)
    graph = loaded.segments[0] if loaded.segments and loaded.segments[0].note.kind == "graph" else None
    recent = loaded.rows - (graph.rows if graph else 0)
    if recent <= (max(sizes.recent_rows, graph.rows * sizes.recent_share) if graph else sizes.flat_rows):
        return None
    flat = loaded.segments[1 if graph else 0 :]
    taken = _fitting(flat, sizes.step_rows)
    since = graph.note.seq if graph else 0
    if taken < len(flat):
        return Step("graph", (), since, upto=flat[taken - 1].note.seq, onto=graph, after=tuple(flat[taken:]))
    return Step("graph", (), since, most=sizes.step_rows, onto=graph)


def _rewrite(segments: Sequence[Segment], place: int) -> Step:
    """One segment again, without what is dead."""
    note = segments[place].note
    return Step(note.kind, tuple(segments[:place]), note.since, upto=note.seq, after=tuple(segments[place + 1 :]))


def _merges(older: int, newer: int, sizes: Sizes) -> bool:
    return older < sizes.growth * newer and older + newer <= sizes.flat_rows


def _fitting(segments: Sequence[Segment], most: int) -> int:
    """How many of these segments, at least one, have no more rows than that together."""
    rows = 0
    for place, segment in enumerate(segments):
        rows += segment.rows
        if rows > most:
            return max(1, place)
    return len(segments)
