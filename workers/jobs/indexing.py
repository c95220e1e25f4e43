"""Vectors to rows, and the version to its readers. One writer: the vectors queue has one worker."""

from __future__ import annotations

from typing import Any

from ltmc_jobs.errors import NotFound
from ltmc_jobs.services import Services
from workers.jobs.embedding import decoded


def index_version(services: Services, resource_id: int, version: int, embeddings: list[str]) -> dict[str, Any]:
    """Write a version's vectors and make it the visible one; again, nothing changes."""
    records = services.tiers.records
    found = records.version(resource_id, version)
    if found is None:
        raise NotFound(f"version {version} of resource {resource_id} is gone; a newer one took its place")
    vectors = [vector for job_id in embeddings for vector in decoded(services.result_of(job_id))]
    records.add_vectors(list(zip(found.chunk_ids, vectors, strict=True)), model=services.tiers.model)
    published = records.publish(resource_id, version)
    services.tiers.vectors.fold()
    services.shared.queue.forget(embeddings)  # last: a run that is repeated before this line needs them again
    return {"resource_id": resource_id, "version": version, "vectors": len(vectors), "published": published}
