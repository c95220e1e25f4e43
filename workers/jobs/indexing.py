"""Vectors to rows, and the version to its readers. One writer: the vectors queue has one worker."""

from __future__ import annotations

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

Vector = npt.NDArray[np.float32]

log = structlog.get_logger("ltmc.jobs")


def index_versions(services: Services, versions: list[list[int]], embeddings: list[str]) -> dict[str, Any]:
    """Write the vectors of `[resource_id, version, chunks]` and make each the visible one.

    Vectors go to chunks by their text: those of `embeddings`, else one that is stored for the same text. Again, or
    behind a newer one, nothing changes; `state` is that of the last.
    """
    records = services.tiers.records
    found = _found(services, versions)
    # Of versions that are done the chunks may be gone, and so may the vectors that were made for them.
    waiting = [version for version in found if version.state == "recorded"]
    chunks = {version: records.version_chunks(version.resource_id, version.version) for version in waiting}
    texts = {digest_of(chunk.text): chunk.text for own in chunks.values() for chunk in own}
    model = services.tiers.model
    vectors = _vectors(services, texts, embeddings, model) if texts else {}
    written, published = 0, 0
    for version, own in chunks.items():
        digests = {chunk.chunk_id: digest_of(chunk.text) for chunk in own}
        records.add_vectors([(chunk, vectors[digest]) for chunk, digest in digests.items()], model=model)
        services.tiers.vector_rows.note_texts(digests.items())
        published += records.publish(version.resource_id, version.version)
        written += len(own)
    services.shared.queue.forget(embeddings)  # a run that is repeated before this line needs them again
    for project in {version.project for version in waiting}:
        _fold(services, project)
    return {"versions": versions, "vectors": written, "published": published, "state": found[-1].state}


def _vectors(services: Services, texts: dict[str, str], embeddings: list[str], model: str) -> dict[str, Vector]:
    """The vectors of texts by their digests: made by jobs, there before, or made here."""
    results = [services.result_of(job_id) for job_id in embeddings]
    found: dict[str, Vector] = {}
    for result in results:
        if result["model"] == model:  # else a change of all vectors overtook it
            found |= zip(result["digests"], decoded(result), strict=True)
    if missing := texts.keys() - found.keys():
        found |= services.tiers.vector_rows.known(missing, model=model)
    if missing := texts.keys() - found.keys():
        made = services.tiers.embedder_of(model).encode([texts[digest] for digest in missing])
        found |= zip(missing, made, strict=True)
    return found


def _found(services: Services, versions: list[list[int]]) -> list[Version]:
    """Those of them that are there: one that was forgotten meanwhile keeps no other from being found."""
    looked = [services.tiers.records.version(resource_id, version) for resource_id, version, *_ in versions]
    found = [version for version in looked if version is not None]
    if not found:
        raise NotFound(f"there is none of these versions: {versions}")
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
