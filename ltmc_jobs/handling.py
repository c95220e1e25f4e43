"""Handling: what a caller may say about how the job of a call is to be treated, beside the call's arguments."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ltmc_jobs.errors import Conflict, InvalidArguments
from ltmc_jobs.queues.contract import JobInfo, JobSpec
from ltmc_jobs.registry import Queue, Tool
from ltmc_jobs.terms import PRIORITIES

LONGEST_TTL_SECONDS = 7 * 86_400


@dataclass(frozen=True, slots=True)
class Handling:
    """Each part is None where the caller says nothing of it.

    `job_id` makes a repeated call the same job. `told` hears the id of the call's job before it is enqueued, or, of one
    with a `job_id`, when that is known to be this call's; and again when the call joined another. `makes_job`: no
    cached result will do. `priority` moves a call between the four queues for calls; a tool whose queue is another,
    since it needs what only that queue's workers have, stays there.
    """

    job_id: str | None = None
    priority: Queue | None = None
    result_ttl_seconds: int | None = None
    told: Callable[[str], None] | None = None
    makes_job: bool = False

    def queue_for(self, tool: Tool) -> Queue:
        """Where the job of such a call waits."""
        return self.priority if self.priority and tool.kind.queue in PRIORITIES else tool.kind.queue


def priority_named(value: object, field: str) -> Queue | None:
    """One of the four; None for none given. InvalidArguments names the field."""
    if value is None:
        return None
    if not isinstance(value, str) or value not in [queue.value for queue in PRIORITIES]:
        raise InvalidArguments(f"{field}: one of {', '.join(PRIORITIES)}", field=field)
    return Queue(value)


def ttl_in(value: object, field: str) -> int | None:
    """Whole seconds, at least one, out of milliseconds; None for none given. InvalidArguments names the field."""
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= LONGEST_TTL_SECONDS * 1000:
        longest = LONGEST_TTL_SECONDS * 1000
        raise InvalidArguments(f"{field}: a whole number of milliseconds, 1 to {longest}", field=field)
    return -(-value // 1000)


NONE_SAID = Handling()


def digest_of(arguments: dict[str, Any]) -> str:
    """What tells a call's arguments from others."""
    return hashlib.sha256(json.dumps(arguments, sort_keys=True).encode()).hexdigest()[:32]


def check_same(spec: JobSpec, known: JobInfo) -> None:
    """Raise Conflict if the job that a call's id stands for was made by a call with other arguments."""
    if known.meta.get("digest", spec.digest) != spec.digest:
        raise Conflict(
            f"this idempotency key stands for job {known.id}, which was called with other arguments: use another key",
            job_id=known.id,
        )


def likeness(tool: Tool, spec: JobSpec, cache_key: str | None) -> str:
    """What a call has in common with those whose job it may join (`JobSpec.like`); "" for one that has its own.

    A call that is the same as one a moment ago is mostly that one, sent again since its answer was lost. What reads may
    join a job that has begun only where the cache's key says that nothing has changed since.
    """
    if not (tool.form.reads_only or tool.idempotent):
        return ""
    who = (spec.principal.name, spec.principal.agent_id, spec.principal.session_id)
    same = json.dumps([spec.project, who, tool.form.name, spec.args, cache_key, spec.queue], sort_keys=True)
    how = "waiting" if tool.form.reads_only and cache_key is None else "open"
    return f"{how}:{hashlib.sha256(same.encode()).hexdigest()[:32]}"
