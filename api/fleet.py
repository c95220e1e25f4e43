"""`ltmc fleet` and `ltmc drain`: the hosts and their worker processes, and taking a host out of work."""

from __future__ import annotations

import getpass
import sys
import time
from typing import Any

import click

from api import connection, terminal
from ltmc_jobs.client import Client
from ltmc_jobs.errors import InvalidArguments
from ltmc_jobs.queues.claims import RENEW_SECONDS
from ltmc_jobs.queues.queue import JobQueue
from ltmc_jobs.settings import Settings

LOOK_SECONDS = 0.2
HEARD_SECONDS = RENEW_SECONDS + 1.0  # by then, every worker of the host has heard of it

as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON (as it does when piped).")


@click.command("fleet")
@as_json_option
def fleet(as_json: bool) -> None:
    """Show hosts, worker processes, what they hold, their leases, who leads, and which hosts are drained."""

    async def read(client: Client) -> dict[str, Any]:
        return client.shared.queue.fleet()

    found = connection.run(Settings.load(), read)
    if terminal.wants_json(as_json):
        terminal.show_json(found)
        return
    if not found["hosts"]:
        click.echo("no worker is running; ./start_workers.sh starts them")
    for host in found["hosts"]:
        _show_host(host)
    click.echo(f"leader: {found['leader'] or 'none; any worker takes over within seconds, if one runs'}")


@click.command("drain")
@click.argument("host")
@click.option("--undo", is_flag=True, help="Let the host's workers take jobs again")
@click.option("--wait", "seconds", type=click.FloatRange(0), default=600.0, show_default=True, help="At most, seconds")
@as_json_option
def drain(host: str, undo: bool, seconds: float, as_json: bool) -> None:
    """Have a host's workers take no more jobs, and wait until they hold none. Exit code 1: they still do.

    It stays drained, also when its workers are started again, until --undo.
    """

    async def act(client: Client) -> dict[str, Any]:
        queue = client.shared.queue
        drained = {one["host"]: one["drained"] for one in queue.fleet()["hosts"]}
        if host not in drained:
            known = ", ".join(sorted(drained)) or "none at all"
            raise InvalidArguments(f"no worker of host {host} is running; there are {known}", field="host")
        if undo:
            queue.undrain(host)
        elif not drained[host]:
            queue.drain(host, getpass.getuser())
        return {"host": host, "drained": not undo, "held": 0 if undo else _wait(queue, host, drained[host], seconds)}

    found = connection.run(Settings.load(), act)
    if terminal.wants_json(as_json):
        terminal.show_json(found)
    elif undo:
        click.echo(f"host {host} takes jobs again")
    elif found["held"]:
        click.echo(f"host {host} takes no more jobs, and still holds {found['held']}; `ltmc fleet` shows them")
    else:
        click.echo(f"host {host} holds no job, and takes none; `ltmc drain {host} --undo` lets it work again")
    sys.exit(1 if found["held"] else 0)


def _wait(queue: JobQueue, host: str, before: dict[str, Any] | None, seconds: float) -> int:
    """Wait until the host's workers have heard of it and hold nothing; how many jobs they hold at the end."""
    now = time.monotonic()
    heard = now if before else now + HEARD_SECONDS
    deadline = max(now + seconds, heard if seconds else now)
    while (held := queue.held_by(host)) or time.monotonic() < heard:
        if time.monotonic() >= deadline:
            break
        time.sleep(LOOK_SECONDS)
    return held


def _show_host(host: dict[str, Any]) -> None:
    told = f"{len(host['processes'])} processes hold {host['held']} jobs"
    if host["drained"]:
        by = f" by {host['drained']['by']}" if host["drained"].get("by") else ""
        told += f"; drained{by}: it takes no more (`ltmc drain {host['host']} --undo`)"
    out = terminal.console()
    out.print(terminal.printable(f"host {host['host']}: {told}"), style="bold", markup=False)
    columns = ("pool", "pid", "state", "held", "lease", "up", "done", "failed", "version", "queues")
    rows = [
        {
            **process,
            "lease": _lease(process["lease_seconds"]),
            "up": terminal.span(process["up_seconds"]) if process["up_seconds"] is not None else "",
            "done": process["successful"],
            "version": process["version"] or f"rq {process['rq_version']}",
            "queues": " ".join(process["queues"]),
        }
        for process in host["processes"]
    ]
    if rows:
        out.print(terminal.table(rows, columns))
    jobs = [{"pid": process["pid"], **job} for process in host["processes"] for job in process["jobs"]]
    if jobs:
        shown = [{**job, "since": terminal.when(job["since"])} for job in jobs]
        out.print(terminal.table(shown, ("pid", "job_id", "name", "since", "queue", "project")))


def _lease(seconds: float | None) -> str:
    if seconds is None:
        return "none (rq)"
    return f"{seconds:.0f} s" if seconds > 0 else "ended"
