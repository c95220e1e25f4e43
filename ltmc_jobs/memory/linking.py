"""Linking: what a document's own words and place say (its chunks, mentions, what comes next), what messages used."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import pairwise

from ltmc_jobs.memory.mentions import Mention, mentions
from ltmc_jobs.results.chat import ChatMessage
from ltmc_jobs.stores.contracts import Chunk, Corpus, Edge, End, Graph, Node, Version

HAS_CHUNK, MENTIONS, NEXT, REFERENCES = "HAS_CHUNK", "MENTIONS", "NEXT", "REFERENCES"
FROM_TEXT = "text"  # the source of a link that a text or its place gives, and that goes with it
FROM_CALLER = "caller"  # the source of one that a caller made, which no job changes
ALL = 1_000_000

Identity = tuple[End, str, End]
Linked = tuple[Version, Sequence[Chunk]]


def link(corpus: Corpus, graph: Graph, versions: Sequence[Linked]) -> None:
    """Write the nodes and links of versions of one project; those of older versions go, those of callers stay."""
    if not versions:
        return
    project = versions[0][0].project
    nodes, edges = [], []
    texts: dict[str, list[Mention]] = {}
    for version, chunks in versions:
        made = _document(version, chunks)
        nodes += made[0]
        edges += made[1] + _sequence(version, *corpus.beside(version.resource_id, version.version))
        texts[version.file_name] = mentions(_text(chunks), is_code=version.resource_type == "code")
    named, about = mention_links(corpus, project, texts)
    ends = [("Document", name) for name in texts]
    held = graph.around(project, ends, relations=[HAS_CHUNK, MENTIONS, NEXT], fan_out=ALL)
    graph.merge([*nodes, *named], without_callers([*edges, *about], held))
    _drop(graph, project, held, {edge.identity for edge in [*edges, *about]})
    _adopt(graph, project, list(texts))


def reference(graph: Graph, project: str, used: Iterable[tuple[ChatMessage, Iterable[int]]]) -> None:
    """Write messages, and links from them to the chunks that they used."""
    nodes, edges = [], []
    for message, chunk_ids in used:
        end = ("Message", str(message.id))
        nodes.append(Node(project, *end, {"conversation_id": message.conversation_id, "role": message.role}))
        edges += [Edge(project, end, REFERENCES, ("Chunk", str(chunk_id))) for chunk_id in chunk_ids]
    graph.merge(nodes, edges)


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


def without_callers(edges: Sequence[Edge], held: Mapping[End, Sequence[Edge]]) -> list[Edge]:
    """These links, less those that are there because a caller made them."""
    theirs = {
        edge.identity for around in held.values() for edge in around if edge.properties.get("source") == FROM_CALLER
    }
    return [edge for edge in edges if edge.identity not in theirs]


def _document(version: Version, chunks: Sequence[Chunk]) -> tuple[list[Node], list[Edge]]:
    project, document = version.project, ("Document", version.file_name)
    properties = {"resource_id": version.resource_id, "version": version.version, "type": version.resource_type}
    nodes = [Node(project, *document, properties)]
    edges = []
    for chunk in chunks:
        key = str(chunk.chunk_id)
        nodes.append(Node(project, "Chunk", key, {"chunk_index": chunk.chunk_index, "vector_id": chunk.chunk_id}))
        edges.append(Edge(project, document, HAS_CHUNK, ("Chunk", key)))
    return nodes, edges


def _sequence(version: Version, before: str | None, after: str | None) -> list[Edge]:
    row = [name for name in (before, version.file_name, after) if name is not None]
    return [
        Edge(version.project, ("Document", first), NEXT, ("Document", second), {"source": FROM_TEXT})
        for first, second in pairwise(row)
    ]


def _drop(graph: Graph, project: str, held: Mapping[End, Sequence[Edge]], now: Collection[Identity]) -> None:
    """Remove what these documents had of themselves, and have no more."""
    stale = {
        edge.identity: edge
        for document, edges in held.items()
        for edge in edges
        if edge.identity not in now
        and (edge.relation == HAS_CHUNK or edge.properties.get("source") == FROM_TEXT)
        and (edge.relation == NEXT or edge.source == document)
    }
    if chunks := [edge.target[1] for edge in stale.values() if edge.relation == HAS_CHUNK]:
        graph.remove(project, "Chunk", chunks)
    if outlived := [edge for edge in stale.values() if edge.relation != HAS_CHUNK]:
        graph.unlink(outlived)


def _adopt(graph: Graph, project: str, names: Sequence[str]) -> None:
    """Have documents take over the links of entities of their names: they were spoken of before they were stored."""
    spoken_of = {("Entity", node.key): ("Document", node.key) for node in graph.nodes(project, "Entity", names)}
    if not spoken_of:
        return
    held = graph.around(project, list(spoken_of), fan_out=ALL)
    moved = [
        Edge(
            project,
            spoken_of.get(edge.source, edge.source),
            edge.relation,
            spoken_of.get(edge.target, edge.target),
            edge.properties,
        )
        for edges in held.values()
        for edge in edges
    ]
    graph.merge([], moved)
    graph.remove(project, "Entity", [key for _, key in spoken_of])


def _text(chunks: Sequence[Chunk]) -> str:
    """The document again: chunks may overlap, and nothing is said twice."""
    parts, end = [], 0
    for chunk in chunks:
        if chunk.end > end:
            parts.append(chunk.content[max(end - chunk.start, 0) :])
            end = chunk.end
    return "".join(parts)
