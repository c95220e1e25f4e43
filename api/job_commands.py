"""`ltmc jobs`: list and show jobs, read their logs, retry and cancel them; the dead ones and the refused."""

from __future__ import annotations

import asyncio
from typing import Any

import click

from api import connection, queue_commands, terminal
from ltmc_jobs import keys
from ltmc_jobs.client import Client
from ltmc_jobs.errors import Conflict, NotFound
from ltmc_jobs.queues.contract import JobStatus
from ltmc_jobs.queues.queue import reached
from ltmc_jobs.registry import Queue
from ltmc_jobs.settings import Settings

FOLLOW_SECONDS = 0.3


@click.group("jobs")
def jobs() -> None:
    """Look at jobs and queues, and act on them."""


queue_commands.add_to(jobs)


as_json_option = queue_commands.as_json_option
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
    """Cancel a job; one that runs is stopped within seconds."""
    settings = Settings.load()
    session = connection.session(settings, project)
    _show(connection.run(settings, lambda client: client.cancel(session, job_id)), as_json)


@jobs.command()
@click.argument("job_id")
@click.option("--follow", "-f", is_flag=True, help="Go on until the job has ended")
@project_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON, at the end.")
def logs(job_id: str, follow: bool, project: str | None, as_json: bool) -> None:
    """Print the lines that a job wrote while it ran, the newest thousand."""
    settings = Settings.load()
    session = connection.session(settings, project)

    async def read(client: Client) -> list[str]:
        lines: list[str] = []
        while True:
            info = await client.job(session, job_id)
            now = [str(line) for line in info.meta.get("log", [])]
            if not as_json:
                for line in _added(lines, now):
                    click.echo(terminal.printable(line))
            lines = now
            if not follow or info.status.is_final:
                return lines
            await asyncio.sleep(FOLLOW_SECONDS)

    lines = connection.run(settings, read)
    if as_json:
        terminal.show_json({"job_id": job_id, "log": lines})
    elif not lines:
        click.echo(f"job {job_id} wrote no line", err=True)


@jobs.command()
@click.option("--queue", help="Only jobs of this queue")
@click.option("--limit", type=click.IntRange(1, 500), default=50, show_default=True, help="How many at most")
@click.option("--project", help="Only jobs of this project")
@click.option("--retry", "again", is_flag=True, help="Put those that are shown back into their queues")
@as_json_option
def dead(queue: str | None, limit: int, project: str | None, again: bool, as_json: bool) -> None:
    """Show the jobs of all projects that failed for good, newest first; --retry runs them again."""

    async def read(client: Client) -> list[dict[str, Any]]:
        found = client.shared.queue.list(project=project, status=JobStatus.FAILED, queue=queue, limit=limit)
        shown = [info.as_dict() for info in found]
        for job in shown if again else ():
            try:
                job["status"] = client.shared.queue.retry(job["job_id"]).status.value
            except (Conflict, NotFound) as error:  # somebody else was first
                job["status"] = str(error)
        return shown

    found = connection.run(Settings.load(), read)
    if terminal.wants_json(as_json):
        terminal.show_json({"jobs": found, "count": len(found), "retried": again})
    elif not found:
        click.echo("no job has failed for good" + (f" in project {project}" if project else ""))
    else:
        terminal.show_jobs(found)
        if not again:
            click.echo("`ltmc why ID` says what it did, `ltmc jobs dead --retry` runs these again")


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


def _added(before: list[str], now: list[str]) -> list[str]:
    """The lines that came since; of a log that is kept to a length, its oldest may have gone."""
    for start in range(max(0, len(before) - len(now)), len(before)):
        if now[: len(before) - start] == before[start:]:
            return now[len(before) - start :]
    return now


def _show(fields: dict[str, Any], as_json: bool) -> None:
    if terminal.wants_json(as_json):
        terminal.show_json(fields)
    else:
        known = {name: value for name, value in fields.items() if value not in (None, {}) and name != "id"}
        terminal.show_fields(known)
