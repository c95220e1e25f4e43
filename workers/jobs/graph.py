"""A version's document and chunks to the graph."""

from __future__ import annotations

from typing import Any

from ltmc_jobs.services import Services
from ltmc_jobs.stores.contracts import Edge, Node


def link_version(services: Services, resource_id: int, version: int) -> dict[str, Any]:
    """Write the document node, its chunk nodes and HAS_CHUNK edges; nodes of older versions go."""
    records, graph = services.tiers.records, services.tiers.graph
    found = records.version(resource_id, version)
    if found is None or found.state == "superseded":
        return {"resource_id": resource_id, "version": version, "linked": False}
    project, document = found.project, ("Document", found.file_name)
    chunks = records.version_chunks(resource_id, version)
    nodes = [Node(project, *document, {"resource_id": resource_id, "version": version, "type": found.resource_type})]
    nodes += [
        Node(project, "Chunk", str(chunk.chunk_id), {"chunk_index": chunk.chunk_index, "vector_id": chunk.chunk_id})
        for chunk in chunks
    ]
    edges = [Edge(project, document, "HAS_CHUNK", ("Chunk", str(chunk.chunk_id))) for chunk in chunks]
    graph.merge(nodes, edges)
    current = {str(chunk.chunk_id) for chunk in chunks}
    graph.remove(project, "Chunk", _stale(services, project, found.file_name, current))
    records.mark_linked(resource_id, version)
    return {"resource_id": resource_id, "version": version, "linked": True, "chunks": len(chunks)}


def _stale(services: Services, project: str, file_name: str, current: set[str]) -> list[str]:
    edges = services.tiers.graph.neighbours(project, "Document", [file_name], relations=["HAS_CHUNK"], limit=1_000_000)
    return [edge.target[1] for edge in edges if edge.target[1] not in current]
