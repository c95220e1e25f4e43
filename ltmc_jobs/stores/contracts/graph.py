"""Graph: nodes and typed, directed edges between them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ltmc_jobs.errors import InvalidArguments

GRAPH_NAME = re.compile(r"[A-Z][A-Za-z_]*")


@dataclass(frozen=True, slots=True)
class Node:
    """A graph node. `key` is unique in its project and label. A property that is None is removed by a merge."""

    project: str
    label: str  # Document | Chunk | Message
    key: str
    properties: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_graph_name(self.label)
        _check_properties(self.properties)


@dataclass(frozen=True, slots=True)
class Edge:
    """A directed, typed edge between two nodes of one project."""

    project: str
    source: tuple[str, str]  # (label, key)
    relation: str  # HAS_CHUNK, RELATED_TO, REFERENCES, …
    target: tuple[str, str]
    properties: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in (self.source[0], self.relation, self.target[0]):
            check_graph_name(name)
        _check_properties(self.properties)


def check_graph_name(name: str) -> None:
    """Refuse a label or relation that could not stand in a Cypher statement as it is."""
    if not GRAPH_NAME.fullmatch(name):
        raise InvalidArguments(f"{name!r} is no graph label or relation: a capital, then letters and underscores")


def _check_properties(properties: Mapping[str, Any]) -> None:
    for name, value in properties.items():
        if name in ("project", "key") or not name:
            raise InvalidArguments(f"{name!r} cannot be the name of a graph property")
        listed = isinstance(value, list | tuple)
        parts = value if listed else [value]
        kinds = {type(part) for part in parts}
        # What a property graph can hold, so that every backend gives back what it was given.
        if len(kinds) > 1 or not kinds <= {str, int, float, bool} | (set() if listed else {type(None)}):
            raise InvalidArguments(
                f"graph property {name!r} must be text, a number, a truth value, or a list of one kind"
            )
        if any(isinstance(part, float) and not math.isfinite(part) for part in parts):
            raise InvalidArguments(f"graph property {name!r} must be a finite number")
        if any(isinstance(part, int) and not -(2**63) <= part < 2**63 for part in parts):
            raise InvalidArguments(f"graph property {name!r} must fit 64 bits")


class Graph(Protocol):
    """Nodes and typed edges."""

    def merge(self, nodes: Sequence[Node], edges: Sequence[Edge]) -> None:
        """Create or update nodes and edges, batched, all or nothing, idempotent; ends of edges are made if missing."""

    def remove(self, project: str, label: str, keys: Sequence[str]) -> None:
        """Remove nodes with their edges."""

    def nodes(self, project: str, label: str, keys: Sequence[str]) -> list[Node]:
        """The nodes that exist under these keys, by key."""

    def neighbours(
        self,
        project: str,
        label: str,
        keys: Sequence[str],
        *,
        relations: Sequence[str] | None = None,
        without: Sequence[str] = (),
        limit: int = 100,
    ) -> list[Edge]:
        """Edges at depth one around the given nodes, both directions, ordered by source, relation and target.

        Of these relations alone, if given, and never of those in `without`.
        """

    def count(self) -> dict[str, int]:
        """Number of nodes and edges."""

    def check(self) -> None:
        """Raise if the store cannot answer."""

    def close(self) -> None: ...
