"""`ltmc why`: where a job is, what it waits for, and what it did so far."""

from __future__ import annotations

from typing import Any

import click

from api import connection, terminal
from ltmc_jobs.answer import LOCALLY
from ltmc_jobs.client import Client
from ltmc_jobs.errors import NotFound
from ltmc_jobs.settings import Settings


@click.command("why")
@click.argument("job_id")
@click.option("--project", help="Project of a call that was served without the queue [LTMC_PROJECT]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON (as it does when piped).")
def why(job_id: str, project: str | None, as_json: bool) -> None:
    """Say where a job of any project is, what it waits for, and what it did so far."""
    settings = Settings.load()
    session = connection.session(settings, project)

    async def read(client: Client) -> dict[str, Any]:
        try:
            return client.shared.queue.why(job_id)
        except NotFound:
            info = await client.job(session, job_id)  # the queue never had it: perhaps this machine served it
            if info.meta.get("served") != LOCALLY:
                raise
            return info.as_dict() | {"where": "served on this machine", "reasons": [info.meta["reason"]]}

    found = connection.run(settings, read)
    if terminal.wants_json(as_json):
        terminal.show_json(found)
    else:
        _show(found)


def _show(found: dict[str, Any]) -> None:
    lines = [
        f"job {found['job_id']}: {found['name']}, project {found['project'] or '-'}",
        f"{found['status']}: {found['where']}",
        *(f"  {reason}" for reason in found["reasons"]),
    ]
    if found.get("progress"):
        told = found["progress"]
        lines.append(f"  progress {told.get('done')} of {told.get('total') or '?'} {told.get('message', '')}".rstrip())
    for line in lines:
        click.echo(terminal.printable(line))
    attempts = found["attempts"] if isinstance(found["attempts"], list) else []
    rows = [
        {
            "ended": terminal.when(one["ended_at"]),
            "outcome": one["outcome"],
            "took": f"{one['seconds']:.3f} s" if one["seconds"] is not None else "",
            "error": one["error"],
            "worker": one["worker"],
        }
        for one in attempts
    ]
    if rows:
        terminal.console().print(terminal.table(rows, list(rows[0])))
    begun, crashes = found.get("attempts_begun"), found.get("crashes")
    if begun:
        died = f", {crashes} of them ended by the death of its own process" if crashes else ""
        click.echo(f"runs begun: {begun}{died}; trace {terminal.printable(str(found['trace_id']))}")
