"""`ltmc schedules`: what recurs and when, what was set aside and why; pause, resume, cancel and put back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click
from redis import Redis

from api import connection, terminal
from api.queue_commands import as_json_option
from ltmc_jobs.client import Client
from ltmc_jobs.queues.envelope import Keyring
from ltmc_jobs.queues.queue import reached
from ltmc_jobs.queues.schedules import roster
from ltmc_jobs.settings import Settings
from ltmc_jobs.shared import Shared

T = TypeVar("T")
UNITS = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))


@click.group("schedules")
def schedules() -> None:
    """Look at what recurs, and act on it."""


@schedules.command("list")
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help="How many at most")
@as_json_option
def list_schedules(limit: int, as_json: bool) -> None:
    """Show what runs when, the soonest first: its next time, its policies, how its last run ended."""
    rows, total = _ask(lambda shared: reached(roster.entries, shared.redis, limit))
    if terminal.wants_json(as_json):
        terminal.show_json({"schedules": rows, "count": len(rows), "total": total})
        return
    if not rows:
        click.echo("nothing is scheduled; `ltmc schedules aside` shows what was set aside")
        return
    out = terminal.console()
    columns = ("id", "name", "when", "next", "missed", "overlap", "last run", "error")
    shown = [
        {
            "id": row["id"],
            "name": row["name"],
            "when": _when(row),
            "next": _next(row),
            "missed": row.get("misfire"),
            "overlap": row.get("overlap"),
            "last run": _last_run(row["last_run"]),
            "error": row["broken"] or ((row["last_run"] or {}).get("error") or {}).get("message"),
        }
        for row in rows
    ]
    if out.width >= terminal.WIDE:
        out.print(terminal.table(shown, columns))
    else:
        for fields in shown:
            out.print(terminal.printable(str(fields["id"])), style="bold", markup=False)
            told = ", ".join(f"{name} {fields[name]}" for name in columns[1:] if fields[name])
            out.print(terminal.printable(f"    {told}"), markup=False)
    if total > len(rows):
        click.echo(f"… and {total - len(rows)} more; --limit shows them")


@schedules.command()
@as_json_option
def aside(as_json: bool) -> None:
    """Show the entries that cannot run and were set aside, newest first, with the reason and what helps."""
    rows = _ask(lambda shared: reached(roster.set_aside, shared.redis))
    if terminal.wants_json(as_json):
        terminal.show_json({"aside": rows, "count": len(rows)})
        return
    for row in rows:
        click.echo(terminal.printable(f"{row['id']}, due {terminal.when(row['due_at'])}: {row['reason']}"))
        click.echo(terminal.printable(f"    {row['cure']}"))
    if not rows:
        click.echo("nothing was set aside")


@schedules.command("put-back")
@click.argument("schedule_id", metavar="ID")
@as_json_option
def put_back(schedule_id: str, as_json: bool) -> None:
    """Give an entry that was set aside another chance, once what was wrong is mended."""
    _ask(lambda shared: reached(roster.put_back, shared.redis, schedule_id))
    told = f"schedule {schedule_id} is back; if it still cannot run, `ltmc schedules aside` shows it again"
    _tell({"id": schedule_id, "put_back": True}, told, as_json)


@schedules.command()
@click.argument("schedule_id", metavar="ID")
@as_json_option
def pause(schedule_id: str, as_json: bool) -> None:
    """Pass over the times of what recurs, until it is resumed; what runs goes on."""
    told = f"schedule {schedule_id} is paused; `ltmc schedules resume {schedule_id}` goes on"
    _tell(_acted_on(roster.pause, schedule_id), told, as_json)


@schedules.command()
@click.argument("schedule_id", metavar="ID")
@as_json_option
def resume(schedule_id: str, as_json: bool) -> None:
    """Let a paused schedule run again, from its next time on; what was passed over is not made up for."""
    found = _acted_on(roster.resume, schedule_id)
    _tell(found, f"schedule {schedule_id} goes on, next at {terminal.when(found['next_at'])}", as_json)


@schedules.command()
@click.argument("schedule_id", metavar="ID")
@as_json_option
def cancel(schedule_id: str, as_json: bool) -> None:
    """Take an entry out of the schedule, also one that was set aside; runs that have begun go on.

    What the platform itself declares is declared again when its scheduler starts: pause that instead.
    """
    _ask(lambda shared: reached(roster.cancel, shared.redis, shared.keys, schedule_id))
    _tell({"id": schedule_id, "canceled": True}, f"schedule {schedule_id} is canceled", as_json)


def _ask(act: Callable[[Shared], T]) -> T:
    async def within(client: Client) -> T:
        return act(client.shared)

    return connection.run(Settings.load(), within)


def _acted_on(act: Callable[[Redis, Keyring, str], None], schedule_id: str) -> dict[str, Any]:
    """The entry, when that was done to it."""

    def within(shared: Shared) -> dict[str, Any]:
        reached(act, shared.redis, shared.keys, schedule_id)
        return reached(roster.entry, shared.redis, schedule_id)

    return _ask(within)


def _tell(found: dict[str, Any], words: str, as_json: bool) -> None:
    if terminal.wants_json(as_json):
        terminal.show_json(found)
    else:
        click.echo(terminal.printable(words))


def _when(row: dict[str, Any]) -> str:
    """When it runs, in words."""
    if row["broken"]:
        return "broken"
    if row["interval_seconds"]:
        told = f"every {_interval(row['interval_seconds'])}"
    elif row["cron"]:
        told = f"{row['cron']} {row['timezone']}"
    else:
        return "once"
    return told + (f", {row['repeat']} more" if row["repeat"] else "")


def _interval(seconds: int) -> str:
    """The interval to the second, in the largest unit that it is a multiple of."""
    size, unit = next((size, unit) for size, unit in UNITS if seconds % size == 0)
    return f"{seconds // size} {unit}"


def _next(row: dict[str, Any]) -> str:
    if row.get("paused"):
        return "paused"
    return "waits for the last run" if row.get("waits") else terminal.when(row["next_at"])


def _last_run(run: dict[str, Any] | None) -> str:
    """How the last run ended; no more is known once its job is no longer kept."""
    if run is None:
        return ""
    if run["status"] is None:
        return "no longer kept"
    return f"{run['status']} {terminal.when(run['ended_at'])}".strip()
