"""Clockwork: fires what is due, for the process that leads; each tick once, whoever else tries the same.

A tick's run, its place in a queue and the schedule's next tick are written in one step, which is refused unless the
caller still leads and the entry is still as it was read.
"""

from __future__ import annotations

import json
import time
import zlib
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import structlog
from redis import Redis

from ltmc_jobs import keys as names
from ltmc_jobs.errors import EnvelopeRefused, LtmcError, NotFound
from ltmc_jobs.metrics import Metrics
from ltmc_jobs.queues.envelope import Keyring, reseal, verified
from ltmc_jobs.queues.producer import noted
from ltmc_jobs.queues.schedules.schedule import ENTRIES, Schedule, Tick, read_schedule
from ltmc_jobs.queues.scripts import script

DUE = script("schedule_due", "schedule_entries")
FIRE = script("fire", "schedule_entries", "new_job")
SET_ASIDE = script("schedule_aside", "schedule_entries")
PAGE = 200
# While there is nothing to do, or nothing may be done.
IDLE_SECONDS = 60.0
BLOCKED_SECONDS = 1.0
HOLD_SECONDS = 0.5  # how often a tick that waits for the run before it looks again
REMIND_SECONDS = 60.0
OUTCOMES = {"fired": "fired", "overlap": "skipped_overlap"}
CURE = "declare it again with ltmc_jobs.queues.for_rq.scheduler.Scheduler"
# What a run takes over from its schedule's hash, where something is set there.
TAKEN = (
    "description",
    "timeout",
    "result_ttl",
    "failure_ttl",
    "ttl",
    "retries_left",
    "number_of_retries",
    "retry_intervals",
)

log = structlog.get_logger("ltmc.schedules")


@dataclass(frozen=True, slots=True)
class Entry:
    """A due entry as it was read: `score` and `meta` as the server wrote them, `taken` by field."""

    id: str
    score: bytes
    data: bytes
    meta: bytes
    queue: str
    at_front: bool
    taken: dict[str, bytes]

    @classmethod
    def of(cls, row: list[Any]) -> Entry:
        job_id, score, values = row
        values = list(values) + [None] * (5 + len(TAKEN) - len(values))
        data, meta, origin, _, at_front = values[:5]
        return cls(
            id=job_id.decode(),
            score=score,
            data=data or b"",
            meta=meta or b"",
            queue=(origin or b"").decode(),
            at_front=at_front == b"1",
            taken={name: value for name, value in zip(TAKEN, values[5:], strict=True) if value},
        )


@dataclass(frozen=True, slots=True)
class Fire:
    """What is sent for an entry; how late its tick is; whether ticks before it were missed."""

    command: list[Any]
    late_seconds: float
    missed: bool


class Clockwork:
    """The schedule's engine; any number may stand by, `fire_due` works for the one that leads."""

    def __init__(self, connection: Redis, keys: Keyring, metrics: Metrics | None = None) -> None:
        self._connection = connection
        self._keys = keys
        self._metrics = metrics
        self._remind_at = 0.0
        self._ahead = float("inf")  # the server's clock before our monotonic one; not yet known

    def is_due_within(self, seconds: float) -> bool:
        """Whether an entry is due so soon; one cheap look."""
        head: Any = self._connection.zrange(ENTRIES, 0, 0, withscores=True)
        return bool(head) and head[0][1] <= time.monotonic() + self._ahead + seconds

    def fire_due(self, token: str) -> float:
        """Fire one tick of each due entry; in how many seconds to call again (0: at once).

        `token` is what the leader's key holds; nothing is done where it holds another.
        """
        state, *found = DUE.run(self._connection, [token, PAGE])
        if state != b"due":
            if state == b"stock":
                self._tell_of_stock()
            return BLOCKED_SECONDS
        now, following, rows = float(found[0]), found[1], found[2:]
        self._ahead = now - time.monotonic()
        if not rows:
            return max(0.0, float(following) - now) if following else IDLE_SECONDS
        fires = [fire for row in rows if (fire := self._try(token, Entry.of(row), now)) is not None]
        for fire, answer in zip(fires, FIRE.run_many(self._connection, [fire.command for fire in fires]), strict=True):
            self._count(fire, answer.decode())
        return 0.0

    def adopt(self, token: str) -> int:
        """Look at all entries once, and set those aside that could never run; how many. For whoever begins to lead."""
        gone, cursor = 0, -1
        while cursor:
            found: Any = self._connection.zscan(ENTRIES, max(cursor, 0), count=PAGE)
            cursor, rows = found
            pipeline = self._connection.pipeline(transaction=False)
            for name, _ in rows:
                pipeline.hmget(f"rq:job:{name.decode()}", "data", "meta", "origin")
            for (name, score), values in zip(rows, pipeline.execute(raise_on_error=False), strict=True):
                entry = Entry.of([name, repr(score).encode(), [] if isinstance(values, Exception) else values])
                gone += self._try(token, entry, score) is None
        return gone

    def _try(self, token: str, entry: Entry, now: float) -> Fire | None:
        """What to send for an entry; None for one that cannot run: it is set aside, and the others go on."""
        try:
            return self._prepare(token, entry, now)
        except LtmcError as error:
            reason = str(error)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
        kept = json.dumps({"id": entry.id, "due": float(entry.score), "reason": reason})
        if SET_ASIDE.run(self._connection, [token, entry.id, entry.score, kept]):
            log.error("a schedule cannot run and was set aside", schedule=entry.id, reason=reason)
            self._add("set_aside")
        return None

    def _prepare(self, token: str, entry: Entry, now: float) -> Fire:
        """The command that fires an entry's tick, or passes it over."""
        if not entry.data:
            raise NotFound("its job is gone: it was deleted, or its time to live is over")
        path, call = self._open(entry)
        schedule, more = read_schedule(entry.id, entry.meta)
        due = schedule.due_of(float(entry.score))
        tick = schedule.tick(due, now)
        if schedule.paused and schedule.recurs:
            tick = Tick(None, tick.next, tick.missed)
        after, passed = schedule.after(tick), schedule.after(Tick(None, tick.next))
        held = replace(schedule, due=tick.run or due, held=round(now + HOLD_SECONDS, 3))
        once = "drop" if tick.run is None else "self"
        command = [
            *(token, entry.id, entry.score, entry.meta),
            "" if after.due is None else f"{schedule.score(after.due):.3f}",
            ("pass" if tick.run is None else "run") if schedule.recurs else once,
            *(schedule.overlap.value, schedule.last_run or ""),
            *(after.meta(more), passed.meta(more), held.held, held.meta(more)),
        ]
        moved = tick.run not in (None, due) or schedule.held is not None
        meant = schedule.score(tick.run or due) if moved else float(entry.score)
        return Fire(command + self._run(schedule, entry, tick, (path, call, more)), max(0.0, now - meant), tick.missed)

    def _run(self, schedule: Schedule, entry: Entry, tick: Tick, what: tuple[str, Any, dict[str, Any]]) -> list[Any]:
        """The run as the script takes it: id, queue, whether at its front, where it is noted, fields of its hash."""
        path, call, more = what
        place = [entry.queue, "1" if entry.at_front else "", noted(call["project"])]
        if tick.run is None or not schedule.recurs:
            return [schedule.id, *place]
        run_id = schedule.run_id(tick.run)
        data = f"[{json.dumps(path)},null,[{reseal(call, run_id, self._keys)}],{{}}]"
        meta = json.dumps(more | {"schedule": schedule.id, "due": tick.run})
        taken = [part for pair in entry.taken.items() for part in pair]
        return [run_id, *place, "data", data, *taken, "meta", meta]

    def _open(self, entry: Entry) -> tuple[str, dict[str, Any]]:
        """The function's path and the verified call in a job's data; EnvelopeRefused, with the cure, for all else.

        The function need not be known here: that is for the workers of its queue.
        """
        raw = entry.data
        with suppress(zlib.error):
            raw = zlib.decompress(raw)
        try:
            path, _, args, kwargs = json.loads(raw)
        except (ValueError, TypeError):
            raise EnvelopeRefused(
                f"it is pickled, as rq-scheduler makes it, and nothing is unpickled here; {CURE}"
            ) from None
        if not isinstance(args, list) or len(args) != 1 or kwargs or not entry.queue:
            raise EnvelopeRefused(f"it carries no signed envelope; {CURE}")
        return str(path), verified(args[0], entry.id, self._keys)

    def _count(self, fire: Fire, answer: str) -> None:
        if fire.missed and answer in ("fired", "passed"):
            self._add("skipped_misfire")
        if answer in OUTCOMES:
            self._add(OUTCOMES[answer])
        if answer == "fired" and self._metrics is not None:
            self._metrics.observe("ltmc_schedule_lateness_seconds", fire.late_seconds)

    def _add(self, outcome: str) -> None:
        if self._metrics is not None:
            self._metrics.count("ltmc_schedule_runs_total", outcome)

    def _tell_of_stock(self) -> None:
        if time.monotonic() >= self._remind_at:
            self._remind_at = time.monotonic() + REMIND_SECONDS
            log.error(
                "an rqscheduler runs beside this platform, or was killed: nothing is scheduled until its lock is gone; "
                "stop it, the workers here fire its entries",
                lock="rq:scheduler_lock",
            )


def set_aside(connection: Redis) -> list[dict[str, Any]]:
    """The entries that were set aside, the newest first: `id`, `due`, `reason`, which names the cure."""
    found: Any = connection.zrevrange(names.key(names.INSTALLATION, "unschedulable"), 0, -1)
    return [json.loads(member) for member in found]


def put_back(connection: Redis, schedule_id: str) -> bool:
    """Give an entry that was set aside another chance; whether there was one."""
    key = names.key(names.INSTALLATION, "unschedulable")
    members: Any = connection.zrange(key, 0, -1)
    own = [member for member in members if json.loads(member)["id"] == schedule_id]
    if not own:
        return False
    pipeline = connection.pipeline()
    pipeline.zadd(ENTRIES, {schedule_id: json.loads(own[-1])["due"]}, nx=True)
    pipeline.zrem(key, *own)
    pipeline.execute()
    return True
