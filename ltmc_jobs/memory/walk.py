"""A walk: the edges that can be reached from a node, nearest first, each with the path to it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ltmc_jobs.stores.contracts import Direction, Edge, End, Graph

FAN_OUT = 100  # edges that are followed of one node, other than the first
STRIDE = 64  # nodes that are looked around at once


@dataclass(frozen=True, slots=True)
class Step:
    """An edge, and how the walk came to its far end: `nodes` from the start to there, `edges` between them."""

    edge: Edge
    nodes: tuple[End, ...]
    edges: tuple[Edge, ...]


@dataclass(frozen=True, slots=True)
class Walk:
    """What was found; `is_cut` says that there was more than was asked for, or than is followed of one node."""

    steps: list[Step]
    is_cut: bool


def walk(
    graph: Graph,
    project: str,
    start: End,
    *,
    relations: Sequence[str] | None = None,
    without: Sequence[str] = (),
    direction: Direction = "both",
    depth: int = 1,
    limit: int = 100,
) -> Walk:
    """Every edge within `depth` steps once, by the shortest path; an edge that leads back is shown and not followed.

    The order is the graph's own at each node, so that both graphs, asked twice, answer alike.
    """
    ways: dict[End, tuple[tuple[End, ...], tuple[Edge, ...]]] = {start: ((start,), ())}
    seen: set[tuple[End, str, End]] = set()
    steps: list[Step] = []
    frontier, fan_out, is_cut = [start], limit, False

    def look_around() -> Iterator[tuple[End, Edge]]:
        nonlocal is_cut
        for first in range(0, len(frontier), STRIDE):
            some = frontier[first : first + STRIDE]
            found = graph.around(
                project, some, relations=relations, without=without, direction=direction, fan_out=fan_out + 1
            )
            for near in some:
                edges = found.get(near, [])
                is_cut = is_cut or len(edges) > fan_out
                yield from ((near, edge) for edge in edges[:fan_out])

    for _ in range(depth):
        reached: list[End] = []
        for near, edge in look_around():
            if edge.identity in seen:
                continue
            if len(steps) == limit:
                return Walk(steps, True)
            seen.add(edge.identity)
            nodes, before = ways[near]
            far = edge.far(near)
            steps.append(Step(edge, (*nodes, far), (*before, edge)))
            if far not in ways:
                ways[far] = steps[-1].nodes, steps[-1].edges
                reached.append(far)
        frontier, fan_out = reached, FAN_OUT
    return Walk(steps, is_cut)
