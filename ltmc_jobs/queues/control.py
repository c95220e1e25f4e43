"""Act on jobs, queues, hosts: cancel, retry, answer; pause, resume, limit; drain. Workers look before they claim."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from redis import Redis

from ltmc_jobs import keys
from ltmc_jobs.errors import Conflict, InvalidArguments, NotFound
from ltmc_jobs.queues.answers import sealed_answer
from ltmc_jobs.queues.envelope import Keyring
from ltmc_jobs.queues.inspect import job_key
from ltmc_jobs.queues.scripts import script

CANCEL, RETRY, CONTROL = script("cancel", "limits"), script("retry"), script("control", "limits")
ANSWER = script("answer")
CANCELED_SECONDS = 86_400
KEY = keys.key(keys.INSTALLATION, "control")

Subject = Literal["queue", "func"]


@dataclass(frozen=True, slots=True)
class Limit:
    """At most so many at once, and so many in so many seconds; 0 for no such bound."""

    at_once: int = 0
    jobs: int = 0
    seconds: float = 0.0

    def __post_init__(self) -> None:
        if min(self.at_once, self.jobs, self.seconds) < 0 or bool(self.jobs) != bool(self.seconds):
            raise InvalidArguments("a limit is a number at once, a number of jobs in a number of seconds, or both")


@dataclass(frozen=True, slots=True)
class Controls:
    """Pauses by queue (`{reason, by, at}`), limits by (queue | func, name), drains by host (`{by, at}`)."""

    pauses: dict[str, dict[str, Any]]
    limits: dict[tuple[str, str], Limit]
    drains: dict[str, dict[str, Any]]


def cancel(connection: Redis, job_id: str, *, unless_shared: bool = False) -> bool:
    """Cancel a job; True if it will never run, or is being stopped. NotFound for no such job.

    `unless_shared`: not if another caller's call has joined it.
    """
    answer = CANCEL.run(connection, [job_id, CANCELED_SECONDS, "1" if unless_shared else ""]).decode()
    if answer == "missing":
        raise _missing(job_id)
    return answer in ("canceled", "stopping", "stopped")


def answer(connection: Redis, job_id: str, answers: Mapping[str, Any], keys: Keyring) -> list[str]:
    """Give a job answers to what it asks; it is enqueued when none is left. The keys of those that are left.

    Answers to what it does not ask are ignored. NotFound for no such job.
    """
    while True:
        kept = connection.hget(job_key(job_id), "ltmc_questions")
        asked = json.loads(kept) if kept else {"questions": {}}
        taken = {key: answers[key] for key in asked["questions"] if key in answers}
        left = {key: question for key, question in asked["questions"].items() if key not in taken}
        if kept and not taken:
            return list(left)
        rest = json.dumps(asked | {"questions": left}) if left else ""
        sealed = [part for key, given in taken.items() for part in (key, sealed_answer(job_id, key, given, keys))]
        done = ANSWER.run(connection, [job_id, kept or "", rest, *sealed]).decode()
        if done == "missing":
            raise _missing(job_id)
        if done != "changed" or not kept:
            return list(left)


def retry(connection: Redis, job_id: str) -> None:
    """Put a failed job back into its queue; Conflict for one that has not failed."""
    answer = RETRY.run(connection, [job_id]).decode()
    if answer == "missing":
        raise _missing(job_id)
    if answer != "queued":
        raise Conflict(f"job {job_id} is {answer}; only a failed job can be retried")


def pause(connection: Redis, queue: str, reason: str, by: str) -> None:
    """Start no more jobs of a queue; those that run go on."""
    seconds, _ = connection.time()
    CONTROL.run(connection, [f"pause:{queue}", json.dumps({"reason": reason, "by": by, "at": seconds}), "", ""])


def resume(connection: Redis, queue: str) -> None:
    """Go on with a paused queue."""
    CONTROL.run(connection, [f"pause:{queue}", "", queue, ""])


def limit(connection: Redis, subject: Subject, name: str, bound: Limit | None) -> None:
    """Bound a queue, or a function by its tool's or job kind's name; None removes the bound."""
    text = f"{bound.at_once},{bound.jobs},{bound.seconds:g}" if bound else ""
    wake, unpark = (name, "") if subject == "queue" else ("", name)
    CONTROL.run(connection, [f"limit:{subject}:{name}", text, wake, unpark])


def drain(connection: Redis, host: str, by: str) -> None:
    """Have the workers of a host claim no more, within three seconds; what they hold they end."""
    seconds, _ = connection.time()
    CONTROL.run(connection, [f"drain:{host}", json.dumps({"by": by, "at": seconds}), "", ""])


def undrain(connection: Redis, host: str) -> None:
    """Let a host's workers claim again."""
    CONTROL.run(connection, [f"drain:{host}", "", "", ""])


def controls(connection: Redis) -> Controls:
    """The pauses, limits and drains that are set."""
    pauses: dict[str, dict[str, Any]] = {}
    drains: dict[str, dict[str, Any]] = {}
    limits: dict[tuple[str, str], Limit] = {}
    stored: Any = connection.hgetall(KEY)
    for field, value in stored.items():
        kind, _, rest = field.decode().partition(":")
        if kind == "pause":
            pauses[rest] = json.loads(value)
        elif kind == "drain":
            drains[rest] = json.loads(value)
        elif kind == "limit":
            subject, _, name = rest.partition(":")
            at_once, jobs, seconds = value.decode().split(",")
            limits[subject, name] = Limit(int(at_once), int(jobs), float(seconds))
    return Controls(pauses, limits, drains)


def _missing(job_id: str) -> NotFound:
    return NotFound(f"there is no job {job_id}, or it has expired", job_id=job_id)
