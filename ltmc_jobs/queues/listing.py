"""The list of jobs, newest first: a project's from what is noted of them, all others' from RQ's registries."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator

from redis import Redis

from ltmc_jobs.queues.contract import INPUT_REQUIRED, JobInfo, JobStatus
from ltmc_jobs.queues.inspect import infos, job_key, json_of, queue_names, registry_of, text_of, time_of
from ltmc_jobs.queues.producer import noted
from ltmc_jobs.queues.scripts import script
from ltmc_jobs.queues.wanted import BETWEEN, Wanted, newest

NEWEST = script("newest")
PART = 500  # noted jobs a command: Redis serves nobody else while it looks at them
NOTED = 10_000  # as new_job.lua has it
DEPTH = 1000  # RQ's registries know no projects: so many of each are looked at for one


def list_jobs(connection: Redis, wanted: Wanted) -> list[JobInfo]:
    """Jobs of the given kind, newest first.

    Of a project every one among its newest 10,000 is found; older ones as far as RQ's registries are looked into.
    """
    if wanted.project is None:
        return _registered(connection, wanted)
    found = _noted(connection, wanted.project, wanted)
    if len(found) == wanted.limit or connection.zcard(noted(wanted.project)) < NOTED:
        return found
    both = {info.id: info for info in (*_registered(connection, wanted), *found)}
    return newest(both.values(), wanted.limit)


def _noted(connection: Redis, project: str, wanted: Wanted) -> list[JobInfo]:
    found: dict[str, JobInfo] = {}
    asking = wanted.status == INPUT_REQUIRED
    state = JobStatus.DEFERRED if asking else wanted.status or ""
    which = [state, int(asking), wanted.tool or "", wanted.queue or ""]
    below = b"+" if wanted.before is None else b"(" + _place(wanted.before)
    while below and len(found) < wanted.limit:
        last, *ids = NEWEST.run(connection, [noted(project), below, *which, wanted.limit - len(found), PART])
        found |= {info.id: info for info in infos(connection, map(text_of, ids)) if wanted.has(info)}
        below = last and b"(" + last
    return list(found.values())


def _place(before: tuple[str, str]) -> bytes:
    """Where a cursor points, as the scripts note it."""
    made, job_id = before
    return BETWEEN.join((made.replace("+00:00", "Z"), job_id)).encode()


def _registered(connection: Redis, wanted: Wanted) -> list[JobInfo]:
    queues = [wanted.queue] if wanted.queue else queue_names(connection)
    depth = DEPTH if wanted.project or wanted.tool or wanted.cursor else wanted.limit
    found = {job_id for name in queues for state in wanted.states for job_id in _ids(connection, name, state, depth)}
    first = heapq.nlargest(wanted.limit, _made(connection, found, wanted))
    return newest(filter(wanted.has, infos(connection, [job_id for _, job_id in first])), wanted.limit)


def _made(connection: Redis, ids: Iterable[str], wanted: Wanted) -> Iterator[tuple[str, str]]:
    """When each job of the wanted was made, and its id."""
    looked_at = list(ids)
    pipeline = connection.pipeline(transaction=False)
    for job_id in looked_at:
        pipeline.hmget(job_key(job_id), "created_at", "meta", "ltmc_questions")
    for job_id, (made, meta, asks) in zip(looked_at, pipeline.execute(), strict=True):
        told = json_of(meta)
        about = told if isinstance(told, dict) else {}
        place = (time_of(made) or "", job_id)
        if (
            made
            and wanted.project in (None, about.get("project"))
            and wanted.tool in (None, about.get("name"))
            and (wanted.before is None or place < wanted.before)
            and (asks or wanted.status != INPUT_REQUIRED)
        ):
            yield place


def _ids(connection: Redis, queue: str, wanted: JobStatus, limit: int) -> list[str]:
    if wanted == JobStatus.QUEUED:
        return [text_of(value) for value in connection.lrange(f"rq:queue:{queue}", -limit, -1)]
    registry = registry_of(wanted)
    members = connection.zrange(f"rq:{registry}:{queue}", -limit, -1) if registry else []
    return [text_of(member).partition(":")[0] for member in members]
