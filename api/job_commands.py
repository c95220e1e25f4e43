"""`ltmc jobs`: list, show, retry and cancel jobs, and see the refused ones."""

from __future__ import annotations

from typing import Any

import click

from api import connection, terminal
from ltmc_jobs import keys
from ltmc_jobs.client import Client
from ltmc_jobs.queues.contract import JobStatus
from ltmc_jobs.queues.queue import reached
from ltmc_jobs.registry import Queue
from ltmc_jobs.settings import Settings


@click.group("jobs")
def jobs() -> None:
    """List, show, retry and cancel jobs."""


as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON (as it does when piped).")
project_option = click.option("--project", help="Project to look in [LTMC_PROJECT]")


@jobs.command("list")
@click.option("--status", type=click.Choice([status.value for status in JobStatus]), help="Only jobs in this state")
@click.option("--queue", help=f"Only jobs of this queue ({', '.join(Queue)})")
@click.option("--limit", type=click.IntRange(1, 500), default=50, show_default=True, help="How many at most")
@project_option
@as_json_option
def list_jobs(status: str | None, queue: str | None, limit: int, project: str | None, as_json: bool) -> None:
    """Show a project's jobs, newest first."""
    settings = Settings.load()
    session = connection.session(settings, project)
    found = connection.run(settings, lambda client: client.jobs(session, status=status, queue=queue, limit=limit))
    if terminal.wants_json(as_json):
        terminal.show_json(found)
    elif not found["jobs"]:
        of_queue = f" of queue {queue}" if queue else ""
        click.echo(f"no {f'{status} ' if status else ''}jobs{of_queue} in project {session.project}")
    else:
        terminal.show_jobs(found["jobs"])


@jobs.command()
@click.argument("job_id")
@project_option
@as_json_option
def show(job_id: str, project: str | None, as_json: bool) -> None:
    """Show everything known of a job."""
    settings = Settings.load()
    session = connection.session(settings, project)
    _show(connection.run(settings, lambda client: client.job(session, job_id)).as_dict(), as_json)


@jobs.command()
@click.argument("job_id")
@project_option
@as_json_option
def retry(job_id: str, project: str | None, as_json: bool) -> None:
    """Put a failed job back into its queue."""
    settings = Settings.load()
    session = connection.session(settings, project)

    async def again(client: Client) -> dict[str, Any]:
        await client.job(session, job_id)  # NotFound for a job of another project
        return (await client.shared.async_queue.retry(job_id)).as_dict()

    _show(connection.run(settings, again), as_json)


@jobs.command()
@click.argument("job_id")
@project_option
@as_json_option
def cancel(job_id: str, project: str | None, as_json: bool) -> None:
    """Cancel a job that has not started."""
    settings = Settings.load()
    session = connection.session(settings, project)
    _show(connection.run(settings, lambda client: client.cancel(session, job_id)), as_json)


@jobs.command()
@as_json_option
def refused(as_json: bool) -> None:
    """Show jobs that were refused because they are not signed by this installation."""

    async def read(client: Client) -> list[str]:
        name = keys.key(keys.INSTALLATION, "refused")
        found: Any = reached(client.shared.redis.lrange, name, 0, -1)
        return [line.decode(errors="replace") for line in found]

    lines = connection.run(Settings.load(), read)
    if terminal.wants_json(as_json):
        terminal.show_json({"refused": lines})
    else:
        click.echo("\n".join(map(terminal.printable, lines)) or "no job was refused in the last 7 days")


def _show(fields: dict[str, Any], as_json: bool) -> None:
    if terminal.wants_json(as_json):
        terminal.show_json(fields)
    else:
        known = {name: value for name, value in fields.items() if value not in (None, {}) and name != "id"}
        terminal.show_fields(known)
