"""Schedule: when a job runs, again and again or once; what becomes of ticks that were missed, or that overlap.

It lives in the hash of a job of its id, as rq-scheduler has it (`interval`, `cron_string`, `repeat` and
`use_local_timezone` in `meta`), with ours beside them under `ltmc_schedule`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

from ltmc_jobs.errors import InvalidArguments
from ltmc_jobs.queues.schedules import timetable

ENTRIES = "rq:scheduler:scheduled_jobs"  # rq-scheduler's: ids of schedules by when they are due
OWN = "ltmc_schedule"
# Longer than a new leader takes to take over: a tick that fell in between runs as if nothing had been.
GRACE_SECONDS = 15.0


class Misfire(StrEnum):
    """What becomes of ticks found later than the grace: left out, made up for by one run, or all run."""

    SKIP = "skip"
    ONCE = "once"
    ALL = "all"


class Overlap(StrEnum):
    """What a tick does while the run before it has not ended: run beside it, be left out, or wait for its end."""

    ALLOW = "allow"
    SKIP = "skip"
    QUEUE = "queue"


@dataclass(frozen=True, slots=True)
class Tick:
    """What to do now: `run` the tick of this second (or none), then wait for `next` (None: it is over)."""

    run: int | None
    next: int | None
    missed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """When the job of this id runs: every `interval_seconds`, or by `cron` in `timezone`; once where neither is given.

    `repeat` is how many runs are left (None: without end). A run starts up to `jitter_seconds` after its tick, the
    same for the same tick. The last four are what it did so far; `held` is the score of a tick that waits for the run
    before it.
    """

    id: str
    interval_seconds: int | None = None
    cron: str | None = None
    timezone: str = "UTC"
    misfire: Misfire = Misfire.ONCE
    overlap: Overlap = Overlap.ALLOW
    repeat: int | None = None
    jitter_seconds: float = 0.0
    grace_seconds: float = GRACE_SECONDS
    paused: bool = False
    due: int | None = None
    last_run: str | None = None
    runs: int = 0
    held: float | None = None

    def __post_init__(self) -> None:
        if self.interval_seconds is not None and self.cron is not None:
            raise InvalidArguments(f"{self.id}: give an interval or a cron string, not both")
        if self.interval_seconds is not None and not 1 <= self.interval_seconds <= 10**9:
            raise InvalidArguments(f"{self.id}: an interval is a whole number of seconds, at least 1")
        if self.repeat is not None and (self.repeat < 1 or not self.recurs):
            raise InvalidArguments(f"{self.id}: repeat counts the runs of what has an interval or a cron string")
        if not 0 <= self.jitter_seconds < (self.interval_seconds or float("inf")):
            raise InvalidArguments(f"{self.id}: the jitter is shorter than the interval, and not negative")
        if self.cron is not None:
            timetable.check_cron(self.cron)
            timetable.zone(self.timezone)

    @property
    def recurs(self) -> bool:
        return self.interval_seconds is not None or self.cron is not None

    def next_time(self, after: float) -> int | None:
        """The first tick later than `after`, which is a tick itself where there is an interval; None: there is none."""
        if self.interval_seconds is not None:
            return int(after) + self.interval_seconds
        return timetable.next_time(self.cron, self.timezone, after) if self.cron is not None else None

    def tick(self, due: int, now: float) -> Tick:
        """What a due tick comes to, after the misfire policy."""
        if now - due <= self.grace_seconds or self.misfire == Misfire.ALL:
            return Tick(due, self.next_time(due))
        if self.misfire == Misfire.ONCE:
            last = self._last(due, now)
            return Tick(last, self.next_time(last), missed=last != due)
        first = self._first(due, now - self.grace_seconds)
        return Tick(first, self.next_time(first), True) if first and first <= now else Tick(None, first, True)

    def score(self, due: int) -> float:
        """When a tick's run is due: the tick and its jitter."""
        chance = int.from_bytes(hashlib.sha256(f"{self.id} {due}".encode()).digest()[:4]) / 2**32
        return round(due + chance * self.jitter_seconds, 3)

    def due_of(self, score: float) -> int:
        """The tick that a score of the set stands for; whoever changed the score moved the tick."""
        if self.due is not None and any(
            known is not None and abs(known - score) < 0.001 for known in (self.score(self.due), self.held)
        ):
            return self.due
        return int(score)

    def run_id(self, due: int) -> str:
        """The id of a tick's run: the same each time, so that a tick runs once."""
        return f"{self.id}-{due}" if self.recurs else self.id

    def after(self, tick: Tick) -> Schedule:
        """As it is after this tick."""
        if tick.run is None:
            return replace(self, due=tick.next, held=None)
        repeat = self.repeat - 1 if self.repeat is not None else None
        last, following = self.run_id(tick.run), tick.next if repeat != 0 else None
        return replace(self, due=following, last_run=last, runs=self.runs + 1, repeat=repeat or None, held=None)

    def meta(self, more: Mapping[str, Any]) -> str:
        """The job's `meta` as JSON; `more` is what else it holds."""
        kept = dict(more) | {OWN: {name: getattr(self, name) for name in OWN_FIELDS}}
        if self.interval_seconds is not None:
            kept["interval"] = self.interval_seconds
        if self.cron is not None:
            kept |= {"cron_string": self.cron, "use_local_timezone": self.timezone != "UTC"}
        if self.repeat is not None:
            kept["repeat"] = self.repeat
        return json.dumps(kept)

    def declared(self) -> dict[str, Any]:
        """What was declared, without what it did since."""
        return asdict(replace(self, due=None, last_run=None, runs=0, held=None, paused=False))

    def _last(self, due: int, now: float) -> int:
        """The last tick that is not later than now; `due` is one."""
        if self.interval_seconds is not None:
            return due + int(now - due) // self.interval_seconds * self.interval_seconds
        window = 60
        while self.cron is not None and now - window > due:
            found = self.next_time(now - window)
            if found is not None and found <= now:
                due = found
                break
            window *= 4
        while (later := self.next_time(due)) is not None and later <= now:
            due = later
        return due

    def _first(self, due: int, moment: float) -> int | None:
        """The first tick that is not earlier than a moment."""
        if self.interval_seconds is not None:
            return due + -int((due - moment) // self.interval_seconds) * self.interval_seconds
        return self.next_time(moment - 0.5) if self.cron is not None else None


OWN_FIELDS = (
    *("timezone", "misfire", "overlap", "jitter_seconds", "grace_seconds", "paused"),
    *("due", "last_run", "runs", "held"),
)
TIMING = {"interval", "cron_string", "use_local_timezone", "repeat", OWN}


def read_schedule(job_id: str, meta: bytes) -> tuple[Schedule, dict[str, Any]]:
    """The schedule in the meta of a job's hash, and what else the meta holds; InvalidArguments where it is none."""
    try:
        kept = json.loads(meta or b"{}")
        own = {name: value for name, value in kept.get(OWN, {}).items() if name in OWN_FIELDS}
        if OWN not in kept and kept.get("use_local_timezone"):
            own["timezone"] = timetable.local_zone()
        own |= {name: float(own[name]) for name in ("jitter_seconds", "grace_seconds") if name in own}
        own |= {name: int(own[name]) for name in ("due", "runs") if own.get(name) is not None}
        own |= {name: kind(own[name]) for name, kind in (("misfire", Misfire), ("overlap", Overlap)) if name in own}
        interval, repeat = kept.get("interval"), kept.get("repeat")
        schedule = Schedule(
            id=job_id,
            interval_seconds=int(interval) if interval else None,
            cron=kept.get("cron_string") or None,
            repeat=int(repeat) if repeat else None,
            **own,
        )
    except (ValueError, TypeError, AttributeError, OverflowError) as error:
        raise InvalidArguments(f"its meta cannot be read ({error}); declare it again") from None
    return schedule, {name: value for name, value in kept.items() if name not in TIMING}
