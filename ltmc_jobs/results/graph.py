"""What the graph tools answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["document", "entity", "chunk", "message"]


@dataclass(frozen=True, slots=True)
class Thing:
    """What a name means in the graph: a stored document, a chunk or message by number, or the name itself."""

    kind: Kind
    name: str


@dataclass(frozen=True, slots=True)
class LinkedResources:
    """A link from `source` to `target`. `relationship_created` is false if it was there before."""

    relationship_created: bool
    source_id: str
    target_id: str
    relationship_type: str
    source: Thing
    target: Thing


@dataclass(frozen=True, slots=True)
class Relationship:
    """A link, and the way to it: the names from where the search began to the link's far end, and what links them."""

    source_id: str
    target_id: str
    relationship_type: str
    properties: dict[str, Any]
    source_kind: Kind
    target_kind: Kind
    depth: int
    path: list[str]
    path_relations: list[str]


@dataclass(frozen=True, slots=True)
class Relationships:
    """What is linked, nearest first. `found` is false for a name that the graph does not have.

    `truncated` says that there is more: ask with a larger limit, fewer relations or less depth.
    """

    entity: Thing
    found: bool
    relationships: list[Relationship]
    count: int
    truncated: bool


@dataclass(frozen=True, slots=True)
class SimilarPair:
    """Two documents that mean nearly the same, and the cosine of their vectors."""

    source_id: str
    target_id: str
    score: float


@dataclass(frozen=True, slots=True)
class LinkedDocuments:
    """What was linked. The links by likeness are those that hold now: `links_removed` held before, and do no more.

    `similar` shows the best hundred of `similar_count`; `links_created` counts new ones, those to things that the texts
    name included, which are `mentions_created`.
    """

    links_created: int
    links_removed: int
    mentions_created: int
    documents_processed: int
    similarity_threshold: float
    similar: list[SimilarPair]
    similar_count: int
