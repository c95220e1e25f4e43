"""What recurs: send again what stopped on its way, and sweep what nobody needs."""

from __future__ import annotations

import json
import time
from typing import Any

import structlog

from ltmc_jobs import keys
from ltmc_jobs.errors import LtmcError
from ltmc_jobs.memory.ingestion import following
from ltmc_jobs.queues.contract import Principal
from ltmc_jobs.services import Services
from ltmc_jobs.stores.contracts import Version
from workers.jobs.indexing import send_builds

UNFINISHED_SECONDS = 120.0
SPACING_SECONDS = 3600.0
RESUMED_SECONDS = 86_400

log = structlog.get_logger("ltmc.jobs")


def resume_unfinished(services: Services) -> dict[str, Any]:
    """Enqueue anew what remains for versions that stopped between recorded and linked, and mend a damaged index."""
    unfinished = services.tiers.records.unfinished(older_than_seconds=UNFINISHED_SECONDS)
    resumed = sum(resume(services, version) for version in unfinished)
    try:
        services.tiers.vectors.fold()
    except LtmcError as error:  # searches go on without it; the next sweep tries again
        log.error("the index cannot be mended", error=str(error))
    return {"resumed": resumed, "builds": send_builds(services)}


def resume(services: Services, version: Version) -> bool:
    """Enqueue what remains for a version, unless it is on its way or was sent not long ago; whether it was."""
    chunks = services.tiers.records.version_chunks(version.resource_id, version.version)
    remaining = following(
        [(version, chunks)], model=services.tiers.model, principal=Principal("maintenance"), trace_id=version.job_id
    )
    specs = [spec for named in remaining.values() for spec in named]
    if services.shared.queue.on_their_way(specs) or not _is_due(services, version):
        return False
    services.shared.queue.ensure(specs)
    return True


def _is_due(services: Services, version: Version) -> bool:
    """Whether it may be sent again now: after 2, 4, 8, … minutes, then every hour without end."""
    connection = services.shared.redis
    name = keys.key(version.project, "resumed", str(version.resource_id), str(version.version))
    now = time.time()
    kept: Any = connection.get(name)
    times, last = json.loads(kept) if kept else (0, 0.0)
    if now - last < min(60.0 * 2**times, SPACING_SECONDS) and times:
        return False
    if times:
        log.warning("a version is sent again", file_name=version.file_name, version=version.version, times=times + 1)
    connection.set(name, json.dumps([min(times + 1, 10), now]), ex=RESUMED_SECONDS)
    return True


def clean_up(services: Services) -> dict[str, Any]:
    """Fold the vectors' tail into a snapshot; delete jobs that ended LTMC_JOB_DAYS ago, and what expired ones left."""
    services.tiers.vectors.fold()
    return {"swept": services.shared.queue.sweep(services.shared.settings.job_days)}
