"""The list of jobs, newest first: from RQ's registries where those are short, else from what is noted of a project."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence

from redis import Redis

from ltmc_jobs.queues.contract import INPUT_REQUIRED, JobInfo, JobStatus
from ltmc_jobs.queues.inspect import infos, job_key, json_of, queue_names, registry_of, state_named, text_of, time_of
from ltmc_jobs.queues.producer import noted
from ltmc_jobs.queues.scripts import script
from ltmc_jobs.queues.wanted import BETWEEN, Wanted, newest

NEWEST = script("newest")
PART = 500  # noted jobs a command: Redis serves nobody else while it looks at them
NOTED = 10_000  # as new_job.lua has it
DEPTH = 1000  # registries know no projects, and have what expires last at their end: so many of each are looked at
SHORT = 200  # jobs in all registries that are asked: all of them are looked at in a moment


def list_jobs(connection: Redis, wanted: Wanted) -> list[JobInfo]:
    """Jobs of the given kind, newest first.

    Of a project every one among its newest 10,000 is found; older ones as far as the registries are looked into.
    """
    queues = [wanted.queue] if wanted.queue else queue_names(connection)
    names = dict.fromkeys(registry_of(state) or "queue" for state in wanted.states)
    registries = [f"rq:{name}:{queue}" for name in names for queue in queues]
    if wanted.project is None or _length(connection, registries) <= SHORT:
        return _registered(connection, registries, wanted)
    found = _noted(connection, noted(wanted.project), wanted)
    if len(found) == wanted.limit or connection.zcard(noted(wanted.project)) < NOTED:
        return found
    both = {info.id: info for info in (*_registered(connection, registries, wanted), *found)}
    return newest(both.values(), wanted.limit)


def _noted(connection: Redis, key: str, wanted: Wanted) -> list[JobInfo]:
    found: dict[str, JobInfo] = {}
    asking = wanted.status == INPUT_REQUIRED
    state = JobStatus.DEFERRED if asking else wanted.status or ""
    which = [state, int(asking), wanted.tool or "", wanted.queue or ""]
    below = b"+" if wanted.before is None else b"(" + _place(wanted.before)
    while below and len(found) < wanted.limit:
        last, *ids = NEWEST.run(connection, [key, below, *which, wanted.limit - len(found), PART])
        known = infos(connection, map(text_of, ids))
        found |= {info.id: info for info in known if info.project == wanted.project and wanted.has(info)}
        below = last and b"(" + last
    return list(found.values())


def _place(before: tuple[str, str]) -> bytes:
    """Where a cursor points, as the scripts note it."""
    made, job_id = before
    return BETWEEN.join((made.replace("+00:00", "Z"), job_id)).encode(errors="replace")


def _length(connection: Redis, registries: Sequence[str]) -> int:
    pipeline = connection.pipeline(transaction=False)
    for key in registries:
        (pipeline.llen if _is_queue(key) else pipeline.zcard)(key)
    return sum(pipeline.execute())


def _registered(connection: Redis, registries: Sequence[str], wanted: Wanted) -> list[JobInfo]:
    depth = DEPTH if wanted.project or wanted.tool or wanted.cursor else wanted.limit
    pipeline = connection.pipeline(transaction=False)
    for key in registries:
        (pipeline.lrange if _is_queue(key) else pipeline.zrange)(key, -depth, -1)
    members = {text_of(member) for members in pipeline.execute() for member in members}
    found = {member.partition(":")[0] for member in members}  # of what runs, the execution stands behind it
    first = heapq.nlargest(wanted.limit, _made(connection, found, wanted))
    return newest(filter(wanted.has, infos(connection, [job_id for _, job_id in first])), wanted.limit)


def _is_queue(key: str) -> bool:
    """A list; registries are sorted sets."""
    return key.startswith("rq:queue:")


def _made(connection: Redis, ids: Iterable[str], wanted: Wanted) -> Iterator[tuple[str, str]]:
    """When each job of the wanted was made, and its id."""
    looked_at = list(ids)
    pipeline = connection.pipeline(transaction=False)
    for job_id in looked_at:
        pipeline.hmget(job_key(job_id), "created_at", "meta", "status", "ltmc_questions")
    for job_id, (made, meta, status, asks) in zip(looked_at, pipeline.execute(), strict=True):
        told = json_of(meta)
        about = told if isinstance(told, dict) else {}
        place = (time_of(made) or "", job_id)
        state = state_named(status or b"queued")
        shown = INPUT_REQUIRED if asks and state == JobStatus.DEFERRED else state
        if (
            made
            and wanted.project in (None, about.get("project"))
            and wanted.tool in (None, about.get("name"))
            and (wanted.before is None or place < wanted.before)
            and wanted.status in (None, shown)
        ):
            yield place
