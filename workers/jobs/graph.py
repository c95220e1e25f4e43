"""A version's document to the graph: its chunks, what it mentions, what comes next to it."""

from __future__ import annotations

from typing import Any

from ltmc_jobs.memory import linking
from ltmc_jobs.services import Services


def link_version(services: Services, resource_id: int, version: int) -> dict[str, Any]:
    """Write the document's nodes and links; what older versions had and this one has not goes."""
    records = services.tiers.records
    found = records.version(resource_id, version)
    if found is None or found.state == "superseded":
        return {"resource_id": resource_id, "version": version, "linked": False}
    chunks = records.version_chunks(resource_id, version)
    linking.link(services.tiers.corpus, services.tiers.graph, found, chunks)
    records.mark_linked(resource_id, version)
    return {"resource_id": resource_id, "version": version, "linked": True, "chunks": len(chunks)}
