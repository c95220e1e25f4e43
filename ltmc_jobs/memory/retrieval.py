"""The way out: embed the query, search, join the records, follow the graph."""

from __future__ import annotations

from collections.abc import Sequence

from ltmc_jobs.llm.embedding import Embedder
from ltmc_jobs.results.memory import RelatedDocument, RetrievedChunk, RetrievedMemory
from ltmc_jobs.stores.contracts import Chunk, Graph, Hit, Records, Scope, Vectors

RELATED_LIMIT = 20
STRUCTURE = ("HAS_CHUNK",)
WORDS_WEIGH = 0.5  # every word found is worth a cosine of so much: good passages have more, and noise less
TRIES = 3


def retrieve(
    records: Records,
    vectors: Vectors,
    graph: Graph,
    embedder: Embedder,
    *,
    scope: Scope,
    query: str,
    top_k: int,
) -> RetrievedMemory:
    """The `top_k` passages nearest to a query, best first, and the documents that the graph links to them.

    Documents that are recorded but not yet embedded are found by their words; both scores lie in 0..1 for
    anything worth showing, and every hit says how it was found.
    """
    vector = embedder.encode([query])[0]
    for _ in range(TRIES):
        # Words first: what becomes searchable in between is then found twice, and not missed.
        by_words = records.search_words(query, scope=scope, limit=top_k)
        by_meaning = vectors.search(vector, scope=scope, k=top_k)
        found = _best(by_meaning, by_words, top_k)
        chunks = records.chunks([hit.chunk_id for hit, _ in found])
        if len(chunks) == len(found):
            break  # else a newer version took a chunk's place since it was found
    passages = [_passage(chunks[hit.chunk_id], hit, match) for hit, match in found if hit.chunk_id in chunks]
    return RetrievedMemory(
        query=query,
        context="\n\n".join(passage.content for passage in passages),
        retrieved_chunks=passages,
        total_results=len(passages),
        related=related(graph, scope.project, {passage.file_name for passage in passages}),
    )


def related(graph: Graph, project: str, file_names: set[str]) -> list[RelatedDocument]:
    """Documents one step away from the given ones."""
    edges = graph.neighbours(project, "Document", sorted(file_names), without=STRUCTURE, limit=RELATED_LIMIT * 10)
    shown: list[RelatedDocument] = []
    for edge in edges:
        ends = (edge.source, edge.target) if edge.source[1] in file_names else (edge.target, edge.source)
        (_, near), (label, far) = ends
        if label == "Document" and far not in file_names:
            shown.append(RelatedDocument(file_name=far, relation=edge.relation, linked_to=near))
    return shown[:RELATED_LIMIT]


def _best(by_meaning: Sequence[Hit], by_words: Sequence[Hit], top_k: int) -> list[tuple[Hit, str]]:
    weighed = [Hit(hit.chunk_id, hit.score * WORDS_WEIGH) for hit in by_words]
    found = {hit.chunk_id: (hit, "words") for hit in weighed} | {hit.chunk_id: (hit, "meaning") for hit in by_meaning}
    return sorted(found.values(), key=lambda pair: (-pair[0].score, pair[0].chunk_id))[:top_k]


def _passage(chunk: Chunk, hit: Hit, match: str) -> RetrievedChunk:
    return RetrievedChunk(
        chunk_id=chunk.chunk_id,
        resource_id=chunk.resource_id,
        file_name=chunk.file_name,
        resource_type=chunk.resource_type,
        version=chunk.version,
        chunk_index=chunk.chunk_index,
        start=chunk.start,
        end=chunk.end,
        content=chunk.content,
        score=round(hit.score, 6),
        match="meaning" if match == "meaning" else "words",
    )
