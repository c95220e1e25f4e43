"""Relations: what tools call to link things and to follow links."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from ltmc_jobs.errors import NotFound
from ltmc_jobs.memory.linking import FROM_CALLER, HAS_CHUNK
from ltmc_jobs.memory.naming import WORDS, Name, ends_of, name_of, relation_of, words_of
from ltmc_jobs.memory.walk import Step, walk
from ltmc_jobs.results.graph import LinkedResources, Relationship, Relationships, Thing
from ltmc_jobs.stores.contracts import Corpus, Direction, Edge, End, Graph


class Tiers(Protocol):
    """What links stand on."""

    @property
    def corpus(self) -> Corpus: ...
    @property
    def graph(self) -> Graph: ...


class Relations:
    """The links of one project."""

    def __init__(self, tiers: Tiers, project: str) -> None:
        self._tiers, self._project = tiers, project

    def link(self, source: Name, target: Name, relation: str, strength: float | None = None) -> LinkedResources:
        """Link two things; both are made if they are not there. Again, only its words and its strength may change."""
        graph, kind = self._tiers.graph, relation_of(relation)
        ends = ends_of(self._tiers.corpus, graph, self._project, [source, target])
        properties: dict[str, Any] = {"source": FROM_CALLER, WORDS: relation if relation != kind else None}
        if strength is not None:
            properties["strength"] = strength
        made = graph.merge([], [Edge(self._project, ends[source], kind, ends[target], properties)]).edges > 0
        return LinkedResources(made, str(source), str(target), relation, _thing(ends[source]), _thing(ends[target]))

    def around(
        self,
        entity: Name,
        *,
        relations: Sequence[str] | None,
        direction: Direction,
        depth: int,
        limit: int,
        include_chunks: bool,
    ) -> Relationships:
        """What is linked to a thing, within some steps; chunks only if asked for by name or by `include_chunks`."""
        graph = self._tiers.graph
        start = ends_of(self._tiers.corpus, graph, self._project, [entity])[entity]
        kinds = None if relations is None else list(dict.fromkeys(map(relation_of, relations)))
        is_shown = include_chunks or kinds is not None or start[0] == "Chunk"
        without = () if is_shown else (HAS_CHUNK,)
        found = walk(
            graph, self._project, start,
            relations=kinds, without=without, direction=direction, depth=depth, limit=limit,
        )  # fmt: skip
        shown = [_relationship(step) for step in found.steps]
        is_known = bool(shown) or bool(graph.nodes(self._project, start[0], [start[1]])) or self._is_stored(start)
        return Relationships(_thing(start), is_known, shown, len(shown), found.is_cut)

    def around_document(self, document: Name, **asked: Any) -> Relationships:
        """What is linked to a document; NotFound if there is none of this name or number."""
        found = self.around(document, **asked)
        if found.entity.kind != "document":
            raise NotFound(f"there is no document {document!r}")
        return found

    def _is_stored(self, end: End) -> bool:
        return end[0] == "Document" and end[1] in self._tiers.corpus.named(self._project, [end[1]])


def _thing(end: End) -> Thing:
    return Thing(end[0].lower(), name_of(end))  # type: ignore[arg-type]


def _relationship(step: Step) -> Relationship:
    edge = step.edge
    source, target = _thing(edge.source), _thing(edge.target)
    return Relationship(
        source_id=source.name,
        target_id=target.name,
        relationship_type=words_of(edge),
        properties={name: value for name, value in edge.properties.items() if name != WORDS},
        source_kind=source.kind,
        target_kind=target.kind,
        depth=len(step.edges),
        path=[name_of(end) for end in step.nodes],
        path_relations=[words_of(passed) for passed in step.edges],
    )
