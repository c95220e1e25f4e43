"""Vectors to rows, and the version to its readers. One writer: the vectors queue has one worker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import structlog

from ltmc_jobs.errors import LtmcError, NotFound
from ltmc_jobs.jobs import BUILD_INDEX
from ltmc_jobs.queues.contract import JobSpec, Principal, following_job_id
from ltmc_jobs.services import Services
from ltmc_jobs.stores.contracts import Version, digest_of
from workers.jobs.embedding import decoded

Made = tuple[str, npt.NDArray[np.float32]]  # which text, and its vector

log = structlog.get_logger("ltmc.jobs")


def index_versions(
    services: Services, versions: list[list[int]], embeddings: list[str], reused: Sequence[tuple[int, str]] = ()
) -> dict[str, Any]:
    """Write the vectors of `[resource_id, version, chunks]`, in their order, and make each the visible one.

    `reused` are `[place, digest]` of chunks, counted over all versions, whose text has a vector already: `embeddings`
    leave them out. Again, or behind a newer one, nothing changes; `state` is that of the last.
    """
    records, rows = services.tiers.records, services.tiers.vector_rows
    found = [_found(services, resource_id, version) for resource_id, version, _ in versions]
    made: list[Made] = []
    # Of versions that are done the chunks may be gone, and so may the vectors that were made for them.
    if any(version.state == "recorded" for version in found):
        made = _made(services, embeddings, dict(reused)) or _made_here(services, versions)
    begin, published = 0, 0
    for version, (_, _, chunks) in zip(found, versions, strict=True):
        own, begin = made[begin : begin + chunks], begin + chunks
        if version.state == "recorded":
            pairs = list(zip(version.chunk_ids, own, strict=True))
            records.add_vectors([(chunk, vector) for chunk, (_, vector) in pairs], model=services.tiers.model)
            rows.note_texts((chunk, digest) for chunk, (digest, _) in pairs)
            published += records.publish(version.resource_id, version.version)
    services.shared.queue.forget(embeddings)  # a run that is repeated before this line needs them again
    for project in {version.project for version in found if version.state == "recorded"}:
        _fold(services, project)
    return {"versions": versions, "vectors": len(made), "published": published, "state": found[-1].state}


def _made(services: Services, embeddings: Sequence[str], reused: dict[int, str]) -> list[Made] | None:
    """The vectors that were made, and those that were there; None if some are gone, or of another model."""
    model = services.tiers.model
    known = services.tiers.vector_rows.known(reused.values(), model=model) if reused else {}
    results = [services.result_of(job_id) for job_id in embeddings]
    if len(known) < len(set(reused.values())) or any(result["model"] != model for result in results):
        return None
    fresh = (pair for result in results for pair in zip(result["digests"], decoded(result), strict=True))
    count = len(reused) + sum(int(result["count"]) for result in results)
    return [(reused[place], known[reused[place]]) if place in reused else next(fresh) for place in range(count)]


def _made_here(services: Services, versions: list[list[int]]) -> list[Made]:
    """The same by the model in use, for the few jobs that a change of all vectors, or of a document, overtook."""
    texts: list[str] = []
    for resource_id, version, chunks in versions:
        own = [chunk.text for chunk in services.tiers.records.version_chunks(resource_id, version)]
        texts += own if len(own) == chunks else [""] * chunks  # of one that is done no vector is wanted
    return list(zip(map(digest_of, texts), services.tiers.embedder.encode(texts), strict=True))


def _found(services: Services, resource_id: int, version: int) -> Version:
    found = services.tiers.records.version(resource_id, version)
    if found is None:
        raise NotFound(f"there is no version {version} of resource {resource_id}")
    return found


def build_index(services: Services) -> dict[str, Any]:
    """Grow the graph of the project's index and drop what is dead: what a fold leaves undone."""
    project = services.current.project
    services.tiers.vectors.build(project)
    return {"project": project, "vectors": services.tiers.vectors.count()}


def send_builds(services: Services) -> int:
    """Enqueue `build_index` for the projects whose index has grown out of what a fold does; how many."""
    records, vectors = services.tiers.records, services.tiers.vectors
    specs = []
    for project, noted in records.snapshots().items():
        try:
            is_due = vectors.is_build_due(project)
        except LtmcError as error:
            log.error("the index cannot be looked at", project=project, error=str(error))
            continue
        if is_due:  # the same job for as long as the index is the same
            job_id = following_job_id(f"{project}:{noted.seq}:{noted.crc32}", "build_index")
            who = Principal("maintenance")
            specs.append(JobSpec(kind=BUILD_INDEX, args={}, project=project, id=job_id, principal=who))
    if specs:
        services.shared.queue.ensure(specs)
    return len(specs)


def _fold(services: Services, project: str) -> None:
    """The version is found with or without it; what is not folded now is folded by the next sweep."""
    try:
        services.tiers.vectors.fold(project)
    except LtmcError as error:
        log.error("index not folded", project=project, error=str(error))
