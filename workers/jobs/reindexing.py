"""All vectors to the configured model, while searches go on by those that are there."""

from __future__ import annotations

from typing import Any

import structlog

from ltmc_jobs.errors import LtmcError
from ltmc_jobs.services import Services
from ltmc_jobs.stores.contracts import digest_of

TEXTS = 256  # embedded between two transactions: what a killed run does again

log = structlog.get_logger("ltmc.jobs")


def reindex(services: Services, force: bool = False) -> dict[str, Any]:
    """Embed every chunk anew, then switch: `{model, before, vectors, changed}`. A run that was cut short goes on.

    Nothing is done where all vectors are of the configured model already, unless `force` says so.
    """
    tiers = services.tiers
    model, stored, rows = tiers.configured_model, tiers.records.vector_model(), tiers.vector_rows
    before = stored[0] if stored else None
    if stored is None or (before == model and not force and rows.target() != model):
        return {"model": model, "before": before, "vectors": tiers.records.count()["vectors"], "changed": False}
    embedder = tiers.embedder_of(model)  # refused here, it has changed nothing
    rows.begin(model)
    while not rows.switch():  # what was stored meanwhile is done next
        after = 0
        while found := rows.remaining(after=after, limit=TEXTS):
            vectors = embedder.encode([text for _, text in found])
            rows.add([(chunk, digest_of(text), vector) for (chunk, text), vector in zip(found, vectors, strict=True)])
            after = found[-1][0]
            done, total = rows.progress()
            if services.job is not None:
                services.job.progress(done, total, f"embedding with {model}")
    for project in tiers.records.projects():
        _write(services, project)
    return {"model": model, "before": before, "vectors": tiers.records.count()["vectors"], "changed": True}


def _write(services: Services, project: str) -> None:
    """The index's files, before every process reads all rows for want of them; what fails is left to the sweep."""
    try:
        services.tiers.vectors.fold(project)
        services.tiers.vectors.build(project)
    except LtmcError as error:
        log.error("index not written", project=project, error=str(error))
