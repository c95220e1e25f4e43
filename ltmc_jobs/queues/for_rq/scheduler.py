"""Scheduler: rq-scheduler's API and keys, for jobs that are declared and signed; the workers' own clockwork fires them.

    scheduler = Scheduler(connection=redis, keys=keys)
    scheduler.cron("0 9 * * mon-fri", "retrieve_memory", kwargs={...}, timezone="Europe/Berlin", overlap="skip")

Times without a zone are UTC. What is new beside rq-scheduler: `misfire`, `overlap`, `grace_seconds`, `jitter_seconds`,
`timezone` and `retry`; `every` and `declare`, which change nothing where the same is declared already.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

from redis import Redis
from rq.exceptions import NoSuchJobError
from rq_scheduler import Scheduler as RqScheduler

from ltmc_jobs.errors import Conflict, InvalidArguments, Misconfigured
from ltmc_jobs.queues.contract import ANYONE, JobSpec, Principal, new_job_id
from ltmc_jobs.queues.envelope import Keyring
from ltmc_jobs.queues.for_rq.calls import Function, chosen_fields, declared_kind, named_arguments
from ltmc_jobs.queues.for_rq.job import Job
from ltmc_jobs.queues.producer import job_fields
from ltmc_jobs.queues.schedules.schedule import ENTRIES, OWN, Misfire, Overlap, Schedule
from ltmc_jobs.queues.schedules.timetable import local_zone
from ltmc_jobs.queues.scripts import script

DECLARE = script("schedule", "schedule_entries")
CANCEL = script("schedule_cancel", "schedule_entries")
ID = re.compile(r"[A-Za-z0-9_-]+")
# rq-scheduler's names for a job's options in enqueue_at and enqueue_in; all else is the function's.
OPTIONS = {
    "job_id": "id",
    "job_ttl": "ttl",
    "job_result_ttl": "result_ttl",
    "job_description": "description",
    **{name: name for name in ("timeout", "meta", "queue_name", "at_front", "depends_on", "on_success", "on_failure")},
}
TIMING = ("interval_seconds", "cron", "timezone", "repeat")
POLICIES: dict[str, Callable[[Any], Any]] = {
    "misfire": Misfire,
    "overlap": Overlap,
    "grace_seconds": float,
    "jitter_seconds": float,
}


class Scheduler(RqScheduler):  # type: ignore[misc]
    """Declare what runs later or again and again; `keys` sign it, `project` and `principal` are whom it runs for."""

    def __init__(
        self,
        queue_name: str | None = None,
        queue: Any = None,
        interval: int = 60,
        connection: Redis | None = None,
        job_class: Any = None,
        queue_class: Any = None,
        name: str | None = None,
        *,
        keys: Keyring | None = None,
        project: str = "default",
        principal: Principal = ANYONE,
    ) -> None:
        if keys is None:
            raise Misconfigured("a Scheduler signs what it makes: give it keys=Keyring.load(Settings.load())")
        super().__init__(queue_name, queue, interval, connection, job_class or Job, queue_class, name)
        self._keys = keys
        self._project = project
        self._principal = principal

    def enqueue_at(self, scheduled_time: datetime, func: Function, *args: Any, **kwargs: Any) -> Job:
        """Run a job once, at a time."""
        options = {own: kwargs.pop(name) for name, own in OPTIONS.items() if name in kwargs}
        return self._enter(func, args, kwargs, f"{_seconds(scheduled_time):.3f}", options, {})

    def enqueue_in(self, time_delta: timedelta, func: Function, *args: Any, **kwargs: Any) -> Job:
        """Run a job once, so long from now by the server's clock."""
        options = {own: kwargs.pop(name) for name, own in OPTIONS.items() if name in kwargs}
        return self._enter(func, args, kwargs, f"+{time_delta.total_seconds():.3f}", options, {})

    def schedule(
        self,
        scheduled_time: datetime,
        func: Function,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        interval: int | None = None,
        repeat: int | None = None,
        **options: Any,
    ) -> Job:
        """Run a job at a time, then every `interval` seconds, `repeat` times in all."""
        policy = _policy(options) | {"interval_seconds": interval or None, "repeat": repeat or None}
        at = _seconds(scheduled_time)
        return self._enter(func, args, kwargs, str(int(at)) if interval else f"{at:.3f}", options, policy)

    def cron(
        self,
        cron_string: str,
        func: Function,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        repeat: int | None = None,
        *,
        use_local_timezone: bool = False,
        timezone: str | None = None,
        **options: Any,
    ) -> Job:
        """Run a job by a cron string, read in `timezone` (this host's with `use_local_timezone`, else UTC)."""
        place = timezone or (local_zone() if use_local_timezone else "UTC")
        policy = _policy(options) | {"cron": cron_string, "timezone": place, "repeat": repeat or None}
        return self._enter(func, args, kwargs, None, options, policy)

    def every(self, seconds: int, spec: JobSpec, **options: Any) -> Job:
        """Run a job now and every so many seconds; the same declared again changes nothing."""
        return self.declare(spec, interval_seconds=seconds, **options)

    def declare(self, spec: JobSpec, **options: Any) -> Job:
        """Have a schedule: made where there is none, made anew where it is another, kept where it is the same.

        Options are those of `schedule` and `cron`, and the fields of Schedule: `interval_seconds`, or `cron` with
        `timezone`; `repeat`.
        """
        timing = {name: options.pop(name) for name in TIMING if name in options}
        schedule = Schedule(id=spec.id, **timing, **_policy(options))
        due = "" if schedule.interval_seconds else self._first_due(schedule)
        return self._write(spec, schedule, due, options, keeps=True)

    def cancel(self, job: Job | str) -> None:
        """Take an entry out of the schedule; runs that have begun go on."""
        CANCEL.run(self.connection, [_id(job)])

    def pause(self, job: Job | str) -> None:
        """Pass over the ticks of what recurs until it is resumed."""
        self._mark(_id(job), paused=True)

    def resume(self, job: Job | str) -> None:
        """Let a paused schedule run again, from its next tick on."""
        self._mark(_id(job), paused=False)

    def change_execution_time(self, job: Job | str, date_time: datetime) -> None:
        """Move the next tick; ValueError for what is not in the schedule."""
        if _id(job) not in self:
            raise ValueError("Job not in scheduled jobs queue")
        self.connection.zadd(ENTRIES, {_id(job): round(_seconds(date_time), 3)}, xx=True)

    def get_jobs(
        self, until: Any = None, with_times: bool = False, offset: int | None = None, length: int | None = None
    ) -> Iterator[Any]:
        """The jobs that are due until a time, the soonest first; with their times (UTC) if asked."""
        if isinstance(until, timedelta):
            until = datetime.now(UTC) + until
        end = _seconds(until) if isinstance(until, datetime) else "+inf" if until is None else until
        found: Any = self.connection.zrangebyscore(ENTRIES, 0, end, start=offset, num=length, withscores=True)
        for name, score in found:
            try:
                job = self.job_class.fetch(name.decode(), connection=self.connection)
            except NoSuchJobError:
                continue  # the clockwork sets it aside, with the reason
            yield (job, datetime.fromtimestamp(score, UTC).replace(tzinfo=None)) if with_times else job

    def run(self, *_: Any, **__: Any) -> NoReturn:
        """Refused: the workers fire what is due."""
        raise Misconfigured("no scheduler process is needed: the platform's workers fire what is due")

    def enqueue_jobs(self) -> NoReturn:
        """Refused: the workers fire what is due."""
        self.run()

    def enqueue_job(self, *_: Any) -> NoReturn:
        """Refused: the workers fire what is due."""
        self.run()

    def _enter(
        self, func: Function, args: Any, kwargs: Any, due: str | None, options: dict[str, Any], policy: dict[str, Any]
    ) -> Job:
        kind = declared_kind(func)
        job_id = options.pop("id", None) or new_job_id()
        arguments = named_arguments(kind, func, args or (), dict(kwargs or {}))
        spec = JobSpec(kind, arguments, self._project, job_id, self._principal)
        schedule = Schedule(id=spec.id, **policy)
        return self._write(spec, schedule, self._first_due(schedule) if due is None else due, options, keeps=False)

    def _first_due(self, schedule: Schedule) -> str:
        now: Any = self.connection.time()
        first = schedule.next_time(now[0])
        if first is None:
            raise InvalidArguments(f"{schedule.id}: a schedule has an interval or a cron string")
        return f"{schedule.score(first):.3f}"

    def _write(self, spec: JobSpec, schedule: Schedule, due: str, options: dict[str, Any], *, keeps: bool) -> Job:
        if not ID.fullmatch(spec.id):
            raise InvalidArguments(f"{spec.id!r} is no id: letters, digits, - and _")
        more = {**(options.pop("meta", None) or {}), "name": spec.kind.name, "project": spec.project}
        if spec.trace_id:
            more["trace_id"] = spec.trace_id
        queue = options.pop("queue_name", None) or self.queue_name or spec.kind.queue.value
        flat = job_fields(spec, self._keys)
        fields = dict(zip(flat[::2], flat[1::2], strict=True)) | {"origin": queue} | chosen_fields(options)
        if options:
            raise InvalidArguments(f"a schedule has no {', '.join(sorted(options))}")
        fields["meta"] = schedule.meta(more)
        declared = [
            spec.args,
            asdict(spec.principal),
            spec.cache_key,
            schedule.declared(),
            more,
            self._keys.fingerprints,
        ]
        declared += [f"{name} {value}" for name, value in fields.items() if name not in ("data", "meta")]
        definition = hashlib.sha256(json.dumps(declared, sort_keys=True).encode()).hexdigest()
        arguments = [part for pair in fields.items() for part in pair]
        if DECLARE.run(self.connection, [spec.id, definition, due, "1" if keeps else "", *arguments]) == -1:
            raise Conflict(f"another job has the id {spec.id}")
        job: Job = self.job_class.fetch(spec.id, connection=self.connection)
        return job

    def _mark(self, job_id: str, *, paused: bool) -> None:
        key = f"rq:job:{job_id}"

        def change(pipeline: Any) -> None:
            meta = json.loads(pipeline.hget(key, "meta") or "{}")
            if OWN not in meta:
                raise InvalidArguments(f"{job_id} is no schedule")
            meta[OWN]["paused"] = paused
            pipeline.multi()
            pipeline.hset(key, "meta", json.dumps(meta))

        self.connection.transaction(change, key)


def _policy(options: dict[str, Any]) -> dict[str, Any]:
    """What of the options is ours, taken out of them."""
    try:
        return {name: kind(options.pop(name)) for name, kind in POLICIES.items() if name in options}
    except (ValueError, TypeError) as error:
        raise InvalidArguments(str(error)) from None


def _seconds(moment: datetime) -> float:
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _id(job: Job | str) -> str:
    return job if isinstance(job, str) else str(job.id)
