"""Vectors to rows, and the version to its readers. One writer: the vectors queue has one worker."""

from __future__ import annotations

from typing import Any

import structlog

from ltmc_jobs.errors import LtmcError, NotFound
from ltmc_jobs.services import Services
from workers.jobs.embedding import decoded

log = structlog.get_logger("ltmc.jobs")


def index_version(services: Services, resource_id: int, version: int, embeddings: list[str]) -> dict[str, Any]:
    """Write a version's vectors and make it the visible one; again, or behind a newer one, nothing changes."""
    records = services.tiers.records
    found = records.version(resource_id, version)
    if found is None:
        raise NotFound(f"there is no version {version} of resource {resource_id}")
    done = {"resource_id": resource_id, "version": version}
    if found.state != "recorded":  # its chunks may be gone, and so may the vectors that were made for it
        services.shared.queue.forget(embeddings)
        return done | {"vectors": 0, "published": found.state != "superseded", "state": found.state}
    vectors = [vector for job_id in embeddings for vector in decoded(services.result_of(job_id))]
    records.add_vectors(list(zip(found.chunk_ids, vectors, strict=True)), model=services.tiers.model)
    published = records.publish(resource_id, version)
    services.shared.queue.forget(embeddings)  # a run that is repeated before this line needs them again
    _fold(services, found.project)
    return done | {"vectors": len(vectors), "published": published}


def _fold(services: Services, project: str) -> None:
    """The version is found with or without it; what is not folded now is folded by the next sweep."""
    try:
        services.tiers.vectors.fold(project)
    except LtmcError as error:
        log.error("index not folded", project=project, error=str(error))
