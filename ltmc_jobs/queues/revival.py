"""Jobs that follow one another: whether they are on their way, those anew that never will be, and those forgotten."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from redis import Redis

from ltmc_jobs.queues.contract import JobSpec, JobStatus
from ltmc_jobs.queues.inspect import job_key, registry_of, state_named
from ltmc_jobs.queues.scripts import script

FORGET = script("forget")
UNSUCCESSFUL = (JobStatus.FAILED, JobStatus.STOPPED, JobStatus.CANCELED)

States = Mapping[str, JobStatus | None]


def on_their_way(connection: Redis, specs: Sequence[JobSpec]) -> bool:
    """Whether all of these will have run, or have, without anybody's help, and some have not yet."""
    found = _states(connection, specs)
    own = [found[spec.id] for spec in specs]
    return all(own) and not _stuck(found, specs) and not all(state and state.is_final for state in own)


def clear_way(connection: Redis, specs: Sequence[JobSpec]) -> None:
    """Forget those of these jobs that ended without success or wait for what did, so that they can be made anew."""
    lost = _stuck(_states(connection, specs), specs)
    if lost:
        forget(connection, lost, (*UNSUCCESSFUL, JobStatus.DEFERRED))


def forget(connection: Redis, job_ids: Iterable[str], states: Sequence[JobStatus] = (JobStatus.FINISHED,)) -> int:
    """Delete jobs with their results and their entries in registries, if they are in these states; how many were."""
    places = [word for state in states for word in (state.value, registry_of(state) or "")]
    return int(FORGET.run(connection, [len(states), *places, *job_ids]))


def _states(connection: Redis, specs: Sequence[JobSpec]) -> States:
    """The state of each of these jobs, and of those they wait for; None for a job that is not there."""
    ids = list(dict.fromkeys(job_id for spec in specs for job_id in (*spec.depends_on, spec.id)))
    pipeline = connection.pipeline(transaction=False)
    for job_id in ids:
        pipeline.hget(job_key(job_id), "status")
    found = zip(ids, pipeline.execute(), strict=True)
    return {job_id: state_named(status) if status else None for job_id, status in found}


def _stuck(found: States, specs: Sequence[JobSpec]) -> set[str]:
    """Those that ended without success, and those that wait for what will not come; in the order of the specs."""
    stuck: set[str] = set()
    for spec in specs:
        state = found[spec.id]
        if state in UNSUCCESSFUL or (state == JobStatus.DEFERRED and not _waits(found, spec, stuck)):
            stuck.add(spec.id)
    return stuck


def _waits(found: States, spec: JobSpec, stuck: set[str]) -> bool:
    """Whether RQ will enqueue it: nothing that it waits for is lost, and something has yet to end."""
    states = [found[job_id] for job_id in spec.depends_on]
    lost = any(state is None or state in UNSUCCESSFUL for state in states) or not stuck.isdisjoint(spec.depends_on)
    return not lost and any(state is not None and not state.is_final for state in states)
