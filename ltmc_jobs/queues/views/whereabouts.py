"""Why a job is where it is: what it waits for, in words that name the cure, and what it did so far."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from redis import Redis

from ltmc_jobs import keys
from ltmc_jobs.errors import NotFound
from ltmc_jobs.queues import control
from ltmc_jobs.queues.contract import JobInfo, JobStatus
from ltmc_jobs.queues.control import Controls, Limit
from ltmc_jobs.queues.inspect import job_key, status
from ltmc_jobs.queues.views import history
from ltmc_jobs.queues.views.fleet import LEASES, host_of

LATE_SECONDS = 2.0  # what is due for so long should have been moved
PARENTS_SHOWN = 20


def why(connection: Redis, job_id: str) -> dict[str, Any]:
    """`{job_id, name, project, queue, status, where, reasons, attempts, crashes, …}`; NotFound for no such job.

    `reasons` are sentences, the one that counts first.
    """
    info = status(connection, job_id)
    own: Any = connection.hgetall(job_key(job_id))
    if not own:
        raise NotFound(f"there is no job {job_id}, or it has expired", job_id=job_id)
    look = _Look(connection, info, {name.decode(): value for name, value in own.items()})
    where, reasons = look.explain()
    ended = history.attempts(connection, job_id)
    return {
        "job_id": job_id,
        "name": info.name,
        "project": info.project,
        "queue": info.queue,
        "status": info.status.value,
        "where": where,
        "reasons": reasons,
        "created_at": info.created_at,
        "enqueued_at": info.enqueued_at,
        "started_at": info.started_at,
        "ended_at": info.ended_at,
        "attempts_begun": info.attempts,
        "crashes": look.number("ltmc_crashes"),
        "retries_left": look.number("retries_left"),
        "attempts": ended,
        "error": info.error,
        "progress": info.meta.get("progress"),
        "trace_id": info.meta.get("trace_id"),
    }


@dataclass
class _Look:
    """One look at one job, by the server's clock."""

    connection: Redis
    info: JobInfo
    fields: dict[str, bytes]

    def __post_init__(self) -> None:
        seconds, microseconds = self.connection.time()
        self.now = seconds + microseconds / 1e6
        self.controls: Controls = control.controls(self.connection)

    def number(self, field: str) -> int:
        value = self.fields.get(field, b"")
        return int(value) if value.isdigit() else 0

    def explain(self) -> tuple[str, list[str]]:
        """Where it is, and why it is there."""
        state = self.info.status
        if state == JobStatus.QUEUED:
            return self._queued()
        if state == JobStatus.STARTED:
            return self._started()
        if state == JobStatus.SCHEDULED:
            return self._scheduled()
        if state == JobStatus.DEFERRED:
            return self._deferred()
        return self._ended()

    def _queued(self) -> tuple[str, list[str]]:
        queue = self.info.queue
        place: Any = self.connection.lpos(f"rq:queue:{queue}", self.info.id)
        if place is None:
            lost = "its id is in no queue: a tool has taken it out. `ltmc jobs cancel` it, and enqueue it anew"
            return f"nowhere, though it counts as queued for {queue}", [lost]
        length = self.connection.llen(f"rq:queue:{queue}")
        reasons = [*self._paused(), *self._suspended(), *self._unserved(), *self._limited("queue", queue)]
        if self.fields.get("ltmc_suspect"):
            reasons.append("its worker died while it ran, so it runs next in a process of its own")
        ahead = f"{place} jobs before it" if place != 1 else "one job before it"
        reasons = reasons or [
            f"it waits for its turn: {ahead}" if place else "it is next; a worker is about to take it"
        ]
        return f"in queue {queue}, {place + 1} of {length}", reasons

    def _paused(self) -> list[str]:
        pause = self.controls.pauses.get(self.info.queue)
        if pause is None:
            return []
        by = f" by {pause['by']}" if pause.get("by") else ""
        cure = f"`ltmc jobs resume {self.info.queue}` goes on"
        return [
            f"the queue is paused since {shown(pause['at'])}{by}: {pause.get('reason') or 'no reason given'}; {cure}"
        ]

    def _suspended(self) -> list[str]:
        held = self.connection.exists("rq:suspended")
        return ["all queues are suspended (`rq suspend`); `rq resume` goes on"] if held else []

    def _unserved(self) -> list[str]:
        """Nobody takes jobs of its queue, if that is so."""
        queue = self.info.queue
        names: Any = self.connection.smembers(f"rq:workers:{queue}")
        workers = [name.decode().removeprefix("rq:worker:") for name in names]
        living = [name for name in workers if self._lives(name)]
        if not living:
            return [f"no worker is running for the {queue} queue; ./start_workers.sh starts them"]
        hosts = {host_of(name) for name in living}
        if hosts <= set(self.controls.drains):
            named = ", ".join(sorted(hosts))
            return [f"all hosts that serve the queue are drained ({named}); `ltmc drain HOST --undo` lets one go on"]
        return []

    def _lives(self, worker: str) -> bool:
        lease: Any = self.connection.zscore(LEASES, worker)
        if lease is not None:
            return float(lease) > self.now
        return bool(self.connection.exists(f"rq:worker:{worker}"))  # a stock worker's expires with it

    def _limited(self, subject: control.Subject, name: str) -> list[str]:
        """The limit that holds it up, if one does."""
        bound = self.controls.limits.get((subject, name))
        if bound is None:
            return []
        word = "queue" if subject == "queue" else "function"
        cure = f"`ltmc jobs limit {'' if subject == 'queue' else '--func '}{name}` shows and changes it"
        if bound.at_once and self._running(subject, name) >= bound.at_once:
            return [f"the {word} {name} runs at its limit of {bound.at_once} at once; {cure}"]
        if bound.jobs and (wait := self._rate_wait(f"{subject}:{name}", bound)) > 0:
            rate = f"{bound.jobs} in {bound.seconds:g} s"
            return [f"the {word} {name} is at its rate of {rate}; the next starts in {wait:.1f} s; {cure}"]
        return []

    def _running(self, subject: control.Subject, name: str) -> int:
        key = f"rq:wip:{name}" if subject == "queue" else f"{keys.PREFIX}running:{name}"
        count = self.connection.zcard(key) if subject == "queue" else self.connection.scard(key)
        return int(count)

    def _rate_wait(self, what: str, bound: Limit) -> float:
        """Seconds until the rate lets the next job start."""
        kept: Any = self.connection.get(f"{keys.PREFIX}rate:{what}")
        step = bound.seconds / bound.jobs
        due = max(float(kept or 0), self.now)
        return max(0.0, due - self.now - bound.seconds + step)

    def _started(self) -> tuple[str, list[str]]:
        worker = self.fields.get("worker_name", b"").decode(errors="replace")
        lease: Any = self.connection.zscore(LEASES, worker) if worker else None
        limit = self.number("timeout")
        reasons = []
        if self.fields.get("ltmc_cancel"):
            reasons.append("it was cancelled, and is being stopped")
        if lease is None:
            gone = not self.connection.exists(f"rq:worker:{worker}")
            reasons += ["its worker is gone; another takes the job over within 15 s"] if gone else []
        elif float(lease) <= self.now:
            ago = self.now - float(lease)
            reasons.append(f"nothing is heard of its worker: its lease ended {ago:.0f} s ago, and others take over")
        else:
            reasons.append(f"it runs, or is held ready; its worker's lease ends in {float(lease) - self.now:.0f} s")
        if limit > 0:
            reasons.append(f"it is stopped when it has run for {limit} s")
        return f"with worker {worker or 'unknown'}", reasons

    def _scheduled(self) -> tuple[str, list[str]]:
        due: Any = self.connection.zscore(f"rq:scheduled:{self.info.queue}", self.info.id)
        where = f"set aside for its time, then queue {self.info.queue}"
        if due is None:
            return where, ["its time is not kept anywhere: a tool has taken it out"]
        func = self._limited("func", self.info.name)
        if self.now - float(due) > LATE_SECONDS:
            late = f"it is due since {shown(due)}; no process leads, which would move it: is any worker running?"
            return where, [late, *self._unserved()]
        first = "its next attempt is" if self.number("number_of_retries") else "it is"
        return where, [*func, f"{first} due at {shown(due)}, in {max(0.0, float(due) - self.now):.1f} s"]

    def _deferred(self) -> tuple[str, list[str]]:
        where = f"deferred, then queue {self.info.queue}"
        if self.info.questions:
            return where, [
                f"it asks for {', '.join(self.info.questions)}, and goes on when it is answered (job_answer)"
            ]
        if self.connection.zscore(f"{keys.PREFIX}parked:{self.info.name}", self.info.id) is not None:
            parked = f"its function {self.info.name} ran at its limit when its turn came; it is next when one ends"
            return where, self._limited("func", self.info.name) or [parked]
        found: Any = self.connection.smembers(f"rq:job::{self.info.id}:dependencies")
        parents = sorted(parent.decode() for parent in found)
        pipeline = self.connection.pipeline(transaction=False)
        for parent in parents:
            pipeline.hget(job_key(parent), "status")
            pipeline.hget(job_key(parent), "meta")
        answers = iter(pipeline.execute())
        reasons = [told for parent in parents if (told := _parent(parent, next(answers), next(answers)))]
        if not reasons:
            reasons = ["all that it waits for has ended; the next end of one, or `ltmc jobs cancel`, sets it free"]
        rest = len(reasons) - PARENTS_SHOWN
        return where, reasons[:PARENTS_SHOWN] + ([f"and for {rest} more"] if rest > 0 else [])

    def _ended(self) -> tuple[str, list[str]]:
        told = (self.info.error or {}).get("message")
        kept: Any = self.connection.ttl(job_key(self.info.id))
        where = f"kept for another {_span(kept)}" if kept > 0 else "kept until it is cleaned up"
        if self.info.status == JobStatus.FAILED:
            crashed = self.number("ltmc_crashes")
            died = [f"its own process died {crashed} times"] if crashed else []
            cure = f"`ltmc jobs retry {self.info.id}` runs it again"
            return where, [f"it failed: {told}", *died, cure]
        ends = {
            JobStatus.FINISHED: "it finished",
            JobStatus.STOPPED: "it was cancelled while it ran",
            JobStatus.CANCELED: "it was cancelled before it began",
        }
        return where, [ends.get(self.info.status, self.info.status.value)]


def _parent(job_id: str, state: bytes | None, meta: bytes | None) -> str | None:
    """What a job that waits for this one is told; None when it need not wait for it."""
    if state in (None, b"finished"):
        return None
    name = json.loads(meta).get("name", "") if meta and meta.startswith(b"{") else ""
    named = f"job {job_id}" + (f" ({name})" if name else "")
    if state == b"canceled":
        return f"it waits for {named}, which was cancelled: it will never run; `ltmc jobs cancel` it"
    if state in (b"failed", b"stopped"):
        return f"it waits for {named}, which is {state.decode()}; `ltmc jobs retry {job_id}` would let both go on"
    return f"it waits for {named}, which is {(state or b'').decode(errors='replace')}; `ltmc why {job_id}` says why"


def _span(seconds: float) -> str:
    if seconds >= 2 * 86_400:
        return f"{seconds / 86_400:.0f} days"
    if seconds >= 2 * 3600:
        return f"{seconds / 3600:.0f} hours"
    return f"{seconds / 60:.0f} minutes" if seconds >= 120 else f"{seconds:.0f} s"


def shown(seconds: float) -> str:
    """A time of the server's, as people read it."""
    return datetime.fromtimestamp(float(seconds), UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
