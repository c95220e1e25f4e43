"""What recurs: send again what stopped on its way, and sweep what nobody needs."""

from __future__ import annotations

from typing import Any

import structlog

from ltmc_jobs.errors import NotFound
from ltmc_jobs.memory.ingestion import following
from ltmc_jobs.queues.contract import JobStatus, Principal
from ltmc_jobs.services import Services
from ltmc_jobs.stores.contracts import Version

UNFINISHED_SECONDS = 120.0
ATTEMPTS = 5

log = structlog.get_logger("ltmc.jobs")


def resume_unfinished(services: Services) -> dict[str, Any]:
    """Enqueue anew what remains for versions that stopped between recorded and linked."""
    unfinished = services.tiers.records.unfinished(older_than_seconds=UNFINISHED_SECONDS)
    return {"resumed": sum(resume(services, version) for version in unfinished)}


def resume(services: Services, version: Version) -> bool:
    """Enqueue what remains for a version, unless it is on its way; whether it was."""
    chunks = services.tiers.records.version_chunks(version.resource_id, version.version)
    for attempt in range(ATTEMPTS):
        remaining = following(
            version,
            chunks,
            model=services.tiers.model,
            principal=Principal("maintenance"),
            trace_id=version.job_id,
            attempt=f":{attempt}" if attempt else "",
        )
        specs = [spec for named in remaining.values() for spec in named]
        states = [_state(services, spec.id) for spec in specs]
        if not any(states):
            services.shared.queue.enqueue_many(specs)
            return True
        if all(state is not None and (not state.is_final or state == JobStatus.FINISHED) for state in states):
            return False  # still on its way
        for spec, state in zip(specs, states, strict=True):
            if state == JobStatus.DEFERRED:  # what it waits for has failed
                services.shared.queue.cancel(spec.id)
    log.error("gave up on a version", file_name=version.file_name, version=version.version, attempts=ATTEMPTS)
    return False


def _state(services: Services, job_id: str) -> JobStatus | None:
    try:
        return services.shared.queue.status(job_id).status
    except NotFound:
        return None


def clean_up(services: Services) -> dict[str, Any]:
    """Fold the vectors' tail into a snapshot and let RQ's registries forget what has expired."""
    services.tiers.vectors.fold()
    return {"expired": services.shared.queue.forget_expired()}
