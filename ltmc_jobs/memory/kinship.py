"""Kinship: documents linked to those that mean nearly the same, and to what their texts name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from ltmc_jobs.errors import NotFound
from ltmc_jobs.llm.embedding import Embedder
from ltmc_jobs.memory.likeness import Likeness, Pair, Vector
from ltmc_jobs.memory.linking import ALL, MENTIONS, mention_links, without_callers
from ltmc_jobs.memory.mentions import Mention, mentions
from ltmc_jobs.memory.naming import Name, ends_of
from ltmc_jobs.results.graph import LinkedDocuments, SimilarPair
from ltmc_jobs.stores.contracts import Corpus, Edge, End, Graph, Node, StoredDocument, Vectors

SIMILAR = "SIMILAR_TO"
FROM_MEANING = "embedding"
SHOWN_PAIRS = 100
PIECE_CHARACTERS = 900  # about as much as the model reads at once
PIECES_EACH = 8
CHARACTERS = 300_000  # of all new texts of a call, unless they are thousands: seconds of the model's time
AT_ONCE = 1000  # links in a transaction, so that nobody waits long behind it
EMBEDDED_AT_ONCE = 128
COMMON_SHARE, COMMON_FROM = 0.2, 10  # a name in more of so many texts tells them apart no better than a stop word

Progress = Callable[[float, float, str], None]


class Tiers(Protocol):
    """What it stands on."""

    @property
    def corpus(self) -> Corpus: ...
    @property
    def vectors(self) -> Vectors: ...
    @property
    def graph(self) -> Graph: ...
    @property
    def embedder(self) -> Embedder: ...


class Kinship:
    """The documents of one project, as far as a call names them, and their like."""

    def __init__(self, tiers: Tiers, project: str, progress: Progress) -> None:
        self._tiers, self._project, self._progress = tiers, project, progress
        self._stored: dict[str, StoredDocument] = {}
        self._texts: dict[str, str] = {}
        self._types: dict[str, str] = {}

    def link(self, documents: Sequence[Mapping[str, Any]], names: Sequence[Name], threshold: float) -> LinkedDocuments:
        """Link documents, given as texts or by name, to their like and to what their texts name."""
        nodes = self._read(documents, names)
        vectors = self._vectors()
        pairs = self._pairs(vectors, threshold)
        named, about = mention_links(self._tiers.corpus, self._project, self._mentions())
        ends = [("Document", name) for name in self._texts]
        held = self._tiers.graph.around(self._project, ends, relations=[SIMILAR, MENTIONS], fan_out=ALL)
        outdated = self._outdated(vectors, held, pairs)
        created = self._write(nodes, without_callers([_edge(self._project, pair) for pair in pairs], held))
        mentioned = self._write(named, without_callers(about, held))
        removed = self._tiers.graph.unlink(outdated) if outdated else 0
        self._progress(len(self._texts), len(self._texts), "linked")
        return LinkedDocuments(
            links_created=created + mentioned,
            links_removed=removed,
            mentions_created=mentioned,
            documents_processed=len(self._texts),
            similarity_threshold=threshold,
            similar=[SimilarPair(*pair.names, round(pair.score, 4)) for pair in pairs[:SHOWN_PAIRS]],
            similar_count=len(pairs),
        )

    def _read(self, documents: Sequence[Mapping[str, Any]], names: Sequence[Name]) -> list[Node]:
        """Take in what was given; the nodes of documents that are not stored. NotFound lists what is not there."""
        corpus, project = self._tiers.corpus, self._project
        # A text's id is its own, whatever number a stored document has.
        given = {str(document["id"]): document for document in documents if document.get("content") is not None}
        bare = [*(document["id"] for document in documents if document.get("content") is None), *names]
        ends = ends_of(corpus, self._tiers.graph, project, bare)
        self._stored = corpus.named(project, [*given, *(key for _, key in ends.values())])
        unknown = [str(name) for name in bare if ends[name][1] not in self._stored]
        if unknown:
            raise NotFound(f"not stored, and given without content: {', '.join(unknown[:20])}", ids=unknown)
        kept = corpus.texts(document.resource_id for document in self._stored.values())
        self._texts = {name: kept.get(document.resource_id, "") for name, document in self._stored.items()}
        self._types = {name: document.resource_type for name, document in self._stored.items()}
        new = {name: document for name, document in given.items() if name not in self._stored}
        self._texts |= {name: str(document["content"]) for name, document in new.items()}
        self._types |= {name: str(document.get("type") or "") for name, document in new.items()}
        return [
            Node(project, "Document", name, {n: str(document[n]) for n in ("type", "created_at") if document.get(n)})
            for name, document in new.items()
        ]

    def _vectors(self) -> dict[str, Vector]:
        numbers = {document.resource_id: name for name, document in self._stored.items()}
        vectors = {numbers[number]: vector for number, vector in self._tiers.corpus.vectors(numbers).items()}
        # New, or stored a moment ago and not embedded yet.
        return vectors | self._embed({n: text for n, text in self._texts.items() if n not in vectors and text.strip()})

    def _embed(self, texts: Mapping[str, str]) -> dict[str, Vector]:
        """The mean direction of each text's pieces; of many long texts only so much that the call stays short."""
        if not texts:
            return {}
        share = CHARACTERS // len(texts)
        size = max(PIECE_CHARACTERS // 3, min(PIECE_CHARACTERS, share))
        most = max(1, min(PIECES_EACH, share // size))
        pieces = [(name, piece) for name, text in texts.items() for piece in _spread(text, size, most)]
        sums: dict[str, Vector] = {}
        for first in range(0, len(pieces), EMBEDDED_AT_ONCE):
            some = pieces[first : first + EMBEDDED_AT_ONCE]
            self._progress(first, len(pieces), "reading new texts")
            for (name, _), vector in zip(some, self._tiers.embedder.encode([piece for _, piece in some]), strict=True):
                sums[name] = sums[name] + vector if name in sums else vector
        return {name: np.asarray(total / (np.linalg.norm(total) or 1), np.float32) for name, total in sums.items()}

    def _pairs(self, vectors: Mapping[str, Vector], threshold: float) -> list[Pair]:
        def tell(done: int, total: int) -> None:
            if done % 50 == 0:
                self._progress(done, total, "looking for their like")

        numbers = {name: document.resource_id for name, document in self._stored.items()}
        likeness = Likeness(self._tiers.corpus, self._tiers.vectors, self._project)
        return likeness.pairs(vectors, numbers, threshold=threshold, progress=tell)

    def _mentions(self) -> dict[str, list[Mention]]:
        """What each text names, without what most of them name."""
        found = {name: mentions(text, is_code=self._types[name] == "code") for name, text in self._texts.items()}
        shares = Counter(mention.name for named in found.values() for mention in named)
        most = max(COMMON_SHARE * len(found), 1) if len(found) >= COMMON_FROM else len(found)
        return {name: [mention for mention in named if shares[mention.name] <= most] for name, named in found.items()}

    def _outdated(
        self, names: Collection[str], held: Mapping[End, Sequence[Edge]], pairs: Sequence[Pair]
    ) -> list[Edge]:
        """Links by likeness that these documents had, to others that were looked at, and do not have now."""
        now = {pair.names for pair in pairs}
        old = {
            edge.identity: edge
            for edges in held.values()
            for edge in edges
            if edge.properties.get("source") == FROM_MEANING and (edge.source[1], edge.target[1]) not in now
        }
        far = {key for edge in old.values() for _, key in (edge.source, edge.target)} - set(names)
        looked_at = {*names, *self._tiers.corpus.named(self._project, far)}
        return [edge for edge in old.values() if {edge.source[1], edge.target[1]} <= looked_at]

    def _write(self, nodes: Sequence[Node], edges: Sequence[Edge]) -> int:
        """Merge in batches; how many links are new."""
        graph = self._tiers.graph
        for first in range(0, len(nodes), AT_ONCE):
            graph.merge(nodes[first : first + AT_ONCE], [])
        return sum(graph.merge([], edges[first : first + AT_ONCE]).edges for first in range(0, len(edges), AT_ONCE))


def _spread(text: str, size: int, most: int) -> Iterator[str]:
    """At most so many pieces of a text, from all over it."""
    starts = range(0, len(text), size)
    for at in starts[:: max(1, -(-len(starts) // most))]:
        yield text[at : at + size]


def _edge(project: str, pair: Pair) -> Edge:
    first, second = pair.names
    properties = {"source": FROM_MEANING, "score": round(pair.score, 4)}
    return Edge(project, ("Document", first), SIMILAR, ("Document", second), properties)
