"""`ltmc jobs queues`, `pause`, `resume` and `limit`: look at the queues as a whole, and hold them back."""

from __future__ import annotations

import getpass
import re
from collections.abc import Awaitable, Callable
from typing import Any

import click

from api import connection, terminal
from ltmc_jobs.client import Client
from ltmc_jobs.errors import InvalidArguments
from ltmc_jobs.queues.contract import JobStatus
from ltmc_jobs.queues.control import Controls, Limit, Subject
from ltmc_jobs.queues.inspect import queue_names
from ltmc_jobs.queues.queue import reached
from ltmc_jobs.settings import Settings

RATE = re.compile(r"(\d+)/(\d+(?:\.\d+)?)")
STATES = (JobStatus.QUEUED, JobStatus.STARTED, JobStatus.SCHEDULED, JobStatus.DEFERRED, JobStatus.FAILED)

as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON (as it does when piped).")


def add_to(group: click.Group) -> None:
    """Make these commands of a group."""
    for command in (queues, pause, resume, limit):
        group.add_command(command)


@click.command()
@as_json_option
def queues(as_json: bool) -> None:
    """Show jobs per queue and state, the oldest that waits, pauses and limits."""

    async def read(client: Client) -> dict[str, Any]:
        counted = (await client.queues())["queues"]
        set_ = client.shared.queue.controls()
        return {
            "queues": {name: states | {"paused": set_.pauses.get(name)} for name, states in counted.items()},
            **_limits(set_),
        }

    found = connection.run(Settings.load(), read)
    if terminal.wants_json(as_json):
        terminal.show_json(found)
        return
    rows = [
        {
            "queue": name,
            **{state.value: counted[state.value] for state in STATES},
            "oldest": terminal.span(counted["oldest_age_seconds"]) if counted[JobStatus.QUEUED.value] else "",
            "workers": counted["workers"],
            "paused": (counted["paused"].get("reason") or "yes") if counted["paused"] else "",
        }
        for name, counted in found["queues"].items()
    ]
    terminal.console().print(terminal.table(rows, list(rows[0])))
    _show_limits(found["limits"])


@click.command()
@click.argument("queue")
@click.option("--reason", default="", help="Why, for whoever asks `ltmc why`")
@as_json_option
def pause(queue: str, reason: str, as_json: bool) -> None:
    """Start no more jobs of a queue; those that run go on."""

    async def act(client: Client) -> dict[str, Any]:
        _require_queue(client, queue)
        client.shared.queue.pause(queue, reason, _who())
        return {"queue": queue, "paused": client.shared.queue.controls().pauses.get(queue)}

    _tell(act, as_json, f"queue {queue} is paused; `ltmc jobs resume {queue}` goes on")


@click.command()
@click.argument("queue")
@as_json_option
def resume(queue: str, as_json: bool) -> None:
    """Go on with a paused queue."""

    async def act(client: Client) -> dict[str, Any]:
        _require_queue(client, queue)
        client.shared.queue.resume(queue)
        return {"queue": queue, "paused": client.shared.queue.controls().pauses.get(queue)}

    _tell(act, as_json, f"queue {queue} goes on")


@click.command()
@click.argument("name", required=False)
@click.option("--func", "is_func", is_flag=True, help="NAME is a tool or job kind, not a queue")
@click.option("--at-once", type=click.IntRange(1), help="At most so many run at the same time")
@click.option("--rate", metavar="JOBS/SECONDS", help="At most so many start in so many seconds, such as 100/60")
@click.option("--none", "is_removed", is_flag=True, help="Take the limit away")
@as_json_option
def limit(
    name: str | None, is_func: bool, at_once: int | None, rate: str | None, is_removed: bool, as_json: bool
) -> None:
    """Bound a queue, or with --func a function; without an option, show the limits."""
    subject: Subject = "func" if is_func else "queue"
    given = at_once is not None or rate is not None
    if (given or is_removed) and name is None:
        raise click.UsageError("Missing NAME.")
    if given and is_removed:
        raise click.UsageError("--none takes the limit away: it goes with no other option.")
    bound = Limit(at_once or 0, *_rate(rate)) if given else None

    async def act(client: Client) -> dict[str, Any]:
        queue = client.shared.queue
        if name is not None and subject == "queue":
            _require_queue(client, name)
        if name is not None and (given or is_removed):
            queue.limit(subject, name, bound)
        limits = _limits(queue.controls())["limits"]
        return {"limits": [one for one in limits if name is None or (one["subject"], one["name"]) == (subject, name)]}

    found = connection.run(Settings.load(), act)
    if terminal.wants_json(as_json):
        terminal.show_json(found)
    elif found["limits"]:
        _show_limits(found["limits"])
    else:
        click.echo(f"{name} has no limit" if name else "no queue or function has a limit")


def _rate(text: str | None) -> tuple[int, float]:
    if text is None:
        return 0, 0.0
    found = RATE.fullmatch(text)
    if not found or not int(found[1]) or not float(found[2]):
        raise click.BadParameter("jobs in seconds, such as 100/60", param_hint="--rate")
    return int(found[1]), float(found[2])


def _limits(set_: Controls) -> dict[str, Any]:
    return {
        "limits": [
            {
                "subject": subject,
                "name": name,
                "at_once": bound.at_once or None,
                "rate": f"{bound.jobs}/{bound.seconds:g}" if bound.jobs else None,
            }
            for (subject, name), bound in sorted(set_.limits.items())
        ]
    }


def _show_limits(limits: list[dict[str, Any]]) -> None:
    for one in limits:
        at_once = f"{one['at_once']} at once" if one["at_once"] else ""
        rate = "{} in {} s".format(*one["rate"].split("/")) if one["rate"] else ""
        bounds = " and ".join(filter(None, (at_once, rate)))
        word = "function" if one["subject"] == "func" else "queue"
        click.echo(terminal.printable(f"limit: {word} {one['name']}, at most {bounds}"))


def _require_queue(client: Client, queue: str) -> None:
    """A queue that exists; a misspelled one would be paused without anybody noticing."""
    known = reached(queue_names, client.shared.redis)
    if queue not in known:
        raise InvalidArguments(f"there is no queue {queue}; there are {', '.join(known)}", field="queue")


def _who() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # no such user here, as in some containers
        return ""


def _tell(act: Callable[[Client], Awaitable[dict[str, Any]]], as_json: bool, words: str) -> None:
    found = connection.run(Settings.load(), act)
    if terminal.wants_json(as_json):
        terminal.show_json(found)
    else:
        click.echo(words)
