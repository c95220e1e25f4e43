"""Graph: nodes and typed, directed edges between them."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from ltmc_jobs.errors import InvalidArguments

End = tuple[str, str]  # (label, key) of a node
Direction = Literal["in", "out", "both"]


@dataclass(frozen=True, slots=True)
class Node:
    """A graph node. `key` is unique in its project and label. A property that is None is removed by a merge."""

    project: str
    label: str  # Document | Chunk | Message | Entity
    key: str
    properties: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_graph_name(self.label)
        _check_properties(self.properties)


@dataclass(frozen=True, slots=True)
class Edge:
    """A directed, typed edge between two nodes of one project."""

    project: str
    source: End
    relation: str  # HAS_CHUNK, RELATED_TO, REFERENCES, …
    target: End
    properties: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in (self.source[0], self.relation, self.target[0]):
            check_graph_name(name)
        _check_properties(self.properties)

    @property
    def identity(self) -> tuple[End, str, End]:
        """What there is one of in a project."""
        return self.source, self.relation, self.target

    def far(self, near: End) -> End:
        """The end that is not this one; this one again, of an edge from a node to itself."""
        return self.target if self.source == near else self.source


@dataclass(frozen=True, slots=True)
class Merged:
    """How many nodes and edges a merge made, which were not there before it."""

    nodes: int
    edges: int


def check_graph_name(name: str) -> None:
    """Refuse a label or relation that could not stand in a Cypher statement, or that differs from another by case."""
    # What Cypher takes between backticks and cannot misread.
    if not name or not name[0].isalpha() or name[0].islower() or not all(map(_is_of_a_name, name)):
        raise InvalidArguments(
            f"{name!r} is no graph label or relation: no small letter first, then letters, digits and underscores"
        )


def _is_of_a_name(sign: str) -> bool:
    """Whether it is a letter of any alphabet, with its marks, a digit or an underscore."""
    return sign == "_" or sign.isalnum() or unicodedata.category(sign).startswith("M")


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

    def merge(self, nodes: Sequence[Node], edges: Sequence[Edge]) -> Merged:
        """Create or update nodes and edges, batched, all or nothing, idempotent; ends of edges are made if missing."""

    def unlink(self, edges: Sequence[Edge]) -> int:
        """Remove these edges, batched, all or nothing, whatever their properties; how many were there."""

    def remove(self, project: str, label: str, keys: Sequence[str]) -> None:
        """Remove nodes with their edges."""

    def nodes(self, project: str, label: str, keys: Sequence[str]) -> list[Node]:
        """The nodes that exist under these keys, by key."""

    def around(
        self,
        project: str,
        ends: Sequence[End],
        *,
        relations: Sequence[str] | None = None,
        without: Sequence[str] = (),
        direction: Direction = "both",
        far_label: str | None = None,
        fan_out: int = 100,
    ) -> dict[End, list[Edge]]:
        """The edges at each of these nodes, at most `fan_out` of each, those of a node to itself once.

        With `far_label`, those whose other end has it. Ordered by relation and far end, an edge out before the same
        one in. Nodes without edges are left out.
        """

    def count(self) -> dict[str, int]:
        """Number of nodes and edges."""

    def check(self) -> None:
        """Raise if the store cannot answer."""

    def close(self) -> None: ...
