"""Linking: what a document's own words and place say: its chunks, what it mentions, what comes next to it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from ltmc_jobs.memory.mentions import Mention, mentions
from ltmc_jobs.stores.contracts import Chunk, Corpus, Edge, End, Graph, Node, Version

HAS_CHUNK, MENTIONS, NEXT = "HAS_CHUNK", "MENTIONS", "NEXT"
FROM_TEXT = "text"  # the source of a link that a text or its place gives, and that goes with it
ALL = 1_000_000


def link(corpus: Corpus, graph: Graph, version: Version, chunks: Sequence[Chunk]) -> None:
    """Write a version's nodes and links; those of older versions go, and those that callers made stay."""
    project, document = version.project, ("Document", version.file_name)
    properties = {"resource_id": version.resource_id, "version": version.version, "type": version.resource_type}
    nodes = [Node(project, *document, properties)]
    nodes += [
        Node(project, "Chunk", str(chunk.chunk_id), {"chunk_index": chunk.chunk_index, "vector_id": chunk.chunk_id})
        for chunk in chunks
    ]
    edges = [Edge(project, document, HAS_CHUNK, ("Chunk", str(chunk.chunk_id))) for chunk in chunks]
    edges += _sequence(project, version.file_name, *corpus.beside(version.resource_id, version.version))
    text = mentions(_text(chunks), is_code=version.resource_type == "code")
    named, about = mention_links(corpus, project, {version.file_name: text})
    held = graph.around(project, [document], relations=[HAS_CHUNK, MENTIONS, NEXT], fan_out=ALL).get(document, [])
    graph.merge([*nodes, *named], [*edges, *about])
    now = {edge.identity for edge in [*edges, *about]}
    _drop(graph, project, document, [edge for edge in held if edge.identity not in now])
    _adopt(graph, project, document)


def mention_links(
    corpus: Corpus, project: str, texts: Mapping[str, Iterable[Mention]]
) -> tuple[list[Node], list[Edge]]:
    """Nodes and links for what documents name: other documents where there are such, else entities."""
    named = {mention.name for found in texts.values() for mention in found if mention.form == "file"}
    stored = corpus.named(project, named) if named else {}
    nodes: dict[str, Node] = {}
    edges: list[Edge] = []
    for file_name, found in texts.items():
        for mention in found:
            is_document = mention.form == "file" and mention.name in stored
            if mention.name == file_name:
                continue
            if not is_document:
                nodes[mention.name] = Node(project, "Entity", mention.name, {"form": mention.form})
            target = ("Document" if is_document else "Entity", mention.name)
            properties = {"source": FROM_TEXT, "score": 1.0, "count": mention.count}
            edges.append(Edge(project, ("Document", file_name), MENTIONS, target, properties))
    return list(nodes.values()), edges


def _sequence(project: str, file_name: str, before: str | None, after: str | None) -> list[Edge]:
    row = [name for name in (before, file_name, after) if name is not None]
    return [
        Edge(project, ("Document", first), NEXT, ("Document", second), {"source": FROM_TEXT})
        for first, second in pairwise(row)
    ]


def _drop(graph: Graph, project: str, document: End, stale: Sequence[Edge]) -> None:
    graph.remove(project, "Chunk", [edge.target[1] for edge in stale if edge.relation == HAS_CHUNK])
    outlived = [
        edge
        for edge in stale
        if edge.properties.get("source") == FROM_TEXT and (edge.relation == NEXT or edge.source == document)
    ]
    if outlived:
        graph.unlink(outlived)


def _adopt(graph: Graph, project: str, document: End) -> None:
    """Take over the links of an entity of this name: it was spoken of before it was stored."""
    entity = ("Entity", document[1])
    if not graph.nodes(project, "Entity", [document[1]]):
        return
    edges = graph.around(project, [entity], fan_out=ALL).get(entity, [])

    def moved(end: End) -> End:
        return document if end == entity else end

    graph.merge(
        [], [Edge(project, moved(edge.source), edge.relation, moved(edge.target), edge.properties) for edge in edges]
    )
    graph.remove(project, "Entity", [document[1]])


def _text(chunks: Sequence[Chunk]) -> str:
    """The document again: chunks may overlap, and nothing is said twice."""
    parts, end = [], 0
    for chunk in chunks:
        if chunk.end > end:
            parts.append(chunk.content[max(end - chunk.start, 0) :])
            end = chunk.end
    return "".join(parts)
