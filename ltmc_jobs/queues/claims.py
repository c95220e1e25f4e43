"""A worker's hold on jobs: tick (end runs and claim jobs), renew, report, leave; and burying the dead.

All of it is fenced: who no longer holds a job changes nothing. Times are the server's. Every command may be sent twice;
at worst a line of a job's log then stands twice.
"""

from __future__ import annotations

import base64
import json
import os
import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any, NamedTuple

from redis import Redis

from ltmc_jobs import keys
from ltmc_jobs.queues.line import Line
from ltmc_jobs.queues.scripts import script

LEASE_SECONDS = 10.0
RENEW_SECONDS = 3.0
LEAD_SECONDS = 5
WORKER_LIFE_SECONDS = 120  # of what RQ shows of a worker, once nothing is heard of it
CRASH_LIMIT = 3  # deaths of a job's own process
WHOLE_RENEWALS = 20  # one in so many also says again who this is and what it serves
STARVED_SECONDS = 60.0
LOG_LINES = 1000
MOVED_AT_ONCE = 1000
ANY_NUMBER = 1_000_000

TICK = script("tick", "limits", "complete")
BURY = script("bury", "limits", "complete")
RENEW, LEAD = script("renew", "leadership"), script("lead", "leadership")
REPORT, HOUSEKEEP = script("report"), script("housekeep", "limits")


class Ending(StrEnum):
    """How a run ends."""

    DONE = "done"
    FAILED = "failed"  # again later, while the job has retries
    FINAL = "final"  # failed, and never again
    REFUSED = "refused"  # not ours, so it never began
    STOPPED = "stopped"  # cancelled while it ran
    BACK = "back"  # not begun: to the front of its queue, and no attempt
    AGAIN = "again"  # begun and interrupted: to the front of its queue
    CRASHED = "crashed"  # its own process died
    ASKS = "asks"  # it ended a leg, and goes on when it has the answers to what it asks


class Claim(NamedTuple):
    """A job that this worker holds."""

    job_id: str
    execution: str
    queue: str
    data: bytes
    timeout_seconds: int
    attempt: int
    alone: bool  # it is to run in a process of its own
    unsigned: bool  # it carries RQ callbacks or webhooks, which nobody signed
    claimed_at: float  # seconds, server time
    enqueued_at: bytes  # as RQ writes times: when it last came into its queue
    retries_left: int
    crashes: int  # deaths of its own process

    @property
    def member(self) -> str:
        return f"{self.job_id}:{self.execution}"

    def waited_seconds(self, begun_at: float) -> float | None:
        """From when it stood in its queue to a time of the server's; None where that is not known."""
        try:
            return max(0.0, begun_at - datetime.fromisoformat(self.enqueued_at.decode()).timestamp())
        except ValueError:
            return None  # another producer's


class Run(NamedTuple):
    """The end of a claim's run; times in seconds, server time. `payload` is as RQ's result streams have it."""

    job_id: str
    execution: str
    ending: Ending
    payload: str = ""
    error: str = ""
    delay_seconds: float = 0.0
    started_at: float = 0.0
    ended_at: float = 0.0


class Ticked(NamedTuple):
    """The answer to a tick."""

    claims: list[Claim]
    refused: list[str]  # runs that were no longer ours: job:execution
    server_time: float
    come_again_at: float | None  # server time at which a rate lets the next job start


class Renewed(NamedTuple):
    """The answer to a renewal."""

    held_on: bool  # the lease had not ended
    leads: bool
    server_time: float
    drained: bool  # its host is to take no more jobs
    held: int  # jobs that it holds, as the server has it
    cancelled: list[str]  # of these, the jobs that somebody cancelled


def as_result(value: Any) -> str:
    """A result as RQ's JSON serializer and its streams keep it; TypeError or ValueError for what is no JSON."""
    return "" if value is None else base64.b64encode(json.dumps(value, allow_nan=False).encode()).decode()


def as_failure(text: str) -> str:
    """A traceback as RQ's streams keep it."""
    return base64.b64encode(zlib.compress(text.encode(errors="replace"))).decode()


@dataclass
class Claims:
    """What one worker process holds, and how it says so. Not for two threads at once."""

    connection: Redis
    worker: str
    queues: Sequence[str]
    facts: Mapping[str, str] = field(default_factory=dict)  # what RQ shows of it: pid, hostname, version …
    tag: str = field(default_factory=lambda: os.urandom(5).hex())
    number: int = 0
    _renewals: int = 0
    _line: Line = field(init=False)

    def __post_init__(self) -> None:
        self._line = Line(self.connection)

    def tick(
        self,
        runs: Sequence[Run],
        free: int,
        prefetch: int = 0,
        *,
        alone: int = ANY_NUMBER,
        look_for_starved: bool = False,
    ) -> Ticked:
        """End these runs, then claim up to `free` jobs, and `prefetch` more where nobody else waits for work.

        Of those that are to run in a process of their own at most `alone`; the others stay where they are.
        After an error the same runs are to be given again: then nothing ends twice, and nothing claimed is lost.
        """
        self.number += 1
        starved = STARVED_SECONDS if look_for_starved else 0
        arguments: list[Any] = [self.worker, self.tag, self.number, LEASE_SECONDS, CRASH_LIMIT, free, prefetch, starved]
        arguments += (alone, len(self.queues), *self.queues)
        for run in runs:
            arguments += (run.job_id, run.execution, run.ending.value, run.payload, run.error, run.delay_seconds)
            arguments += (f"{run.started_at:.6f}", f"{run.ended_at:.6f}", iso(run.started_at), iso(run.ended_at))
        try:
            now, again, refused, flat = self._line.run(TICK, arguments)
        except BaseException:
            self.number -= 1  # sent again, it is the same tick
            raise
        at = float(now)
        claims = [
            Claim(
                flat[i].decode(), flat[i + 1].decode(), flat[i + 2].decode(), flat[i + 3],
                flat[i + 4], flat[i + 5], flat[i + 6] == b"1", flat[i + 7] == b"1", at,
                flat[i + 8], flat[i + 9], flat[i + 10],
            )
            for i in range(0, len(flat), 11)
        ]  # fmt: skip
        return Ticked(claims, [member.decode() for member in refused], at, float(again) if again else None)

    def renew(self) -> Renewed:
        """Hold on to what is held, and show what RQ's tools show of a worker."""
        self._renewals += 1
        whole = self._renewals % WHOLE_RENEWALS == 1
        shown = [text for pair in self.facts.items() for text in pair] if whole else []
        head = (self.worker, LEASE_SECONDS, WORKER_LIFE_SECONDS, LEAD_SECONDS, "1" if whole else "")
        answer = self._line.run(RENEW, [*head, len(self.queues), *self.queues, *shown])
        held_on, leads, now, drained, held, cancelled = answer
        if held_on != b"1":  # buried meanwhile: say again who this is
            self._renewals = 0
        return Renewed(
            held_on == b"1", leads == b"1", float(now), drained == b"1", held, [one.decode() for one in cancelled]
        )

    def report(self, words: Iterable[tuple[Claim, str, str]]) -> None:
        """Tell what running jobs say of themselves: (claim, "progress" or "log", text)."""
        flat = [part for claim, kind, text in words for part in (claim.job_id, claim.execution, kind, text)]
        self._line.run(REPORT, [LOG_LINES, *flat])

    def strays(self, known: Collection[str], at: float) -> list[Run]:
        """Runs that give back what the server says is held here beside `known` (job:execution).

        A server that lost its last words before it died, or a worker that never heard them, leaves such jobs behind.
        """
        members: Any = self.connection.smembers(f"{keys.PREFIX}held:{self.worker}")
        unknown = sorted({member.decode() for member in members} - set(known))
        parted = (member.rpartition(":") for member in unknown)
        return [Run(job, execution, Ending.AGAIN, started_at=at, ended_at=at) for job, _, execution in parted]

    def leave(self) -> None:
        """Take leave; what is still held goes back to its queues."""
        bury(self.connection, self.worker, Ending.BACK, queues=self.queues)


def bury(
    connection: Redis,
    worker: str,
    ending: Ending,
    *,
    suspects: Iterable[str] = (),
    queues: Sequence[str] = (),
    lease_ended_seconds: float | None = None,
) -> tuple[int, int] | None:
    """End a worker and give back what it holds: how many jobs, and how many of them were suspects.

    Suspects (job:execution) may have killed it: they run next in a process of their own. None if its lease has not
    ended, or not for so long, where that was asked.
    """
    grace = "" if lease_ended_seconds is None else lease_ended_seconds
    head = (worker, ending.value, CRASH_LIMIT, grace, len(queues))
    answer = BURY.run(connection, [*head, *queues, *suspects])
    return (answer[0], answer[1]) if answer else None


def lead(connection: Redis, name: str) -> bool:
    """Lead, or go on leading, for the next seconds; for a process that is no worker. Whether it does."""
    return bool(LEAD.run(connection, [name, LEAD_SECONDS]) == b"1")


def housekeep(connection: Redis, leader: str, *, whole: bool = True) -> tuple[int, list[str], float] | None:
    """The leader's round: jobs moved into their queues, workers whose lease has ended, the server's time.

    A whole round also looks at what stock producers have left. None if it leads no longer.
    """
    answer = HOUSEKEEP.run(connection, [leader, MOVED_AT_ONCE, "1" if whole else ""])
    if answer is None:
        return None
    moved, ended, now = answer
    return moved, [name.decode() for name in ended], float(now)


def iso(seconds: float) -> str:
    """A time as RQ writes it."""
    whole = int(seconds)
    return f"{_second(whole)}.{int((seconds - whole) * 1e6):06d}Z"


@lru_cache(maxsize=64)
def _second(whole: int) -> str:
    return datetime.fromtimestamp(whole, UTC).strftime("%Y-%m-%dT%H:%M:%S")
