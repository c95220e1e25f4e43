"""`ltmc reindex`: every stored vector to the configured embedding model, with its progress."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from api import connection, terminal
from ltmc_jobs.client import Client
from ltmc_jobs.jobs import REINDEX
from ltmc_jobs.queues.contract import JobInfo, JobSpec, following_job_id
from ltmc_jobs.queues.queue import reached
from ltmc_jobs.session import Session
from ltmc_jobs.settings import Settings

LOOK_SECONDS = 0.3
LINE_SECONDS = 5.0  # where nobody sees a bar move, one line so often


@click.command()
@click.option("--force", is_flag=True, help="Also where all vectors are of the configured model already.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON (as it does when piped).")
def reindex(force: bool, as_json: bool) -> None:
    """Embed everything anew with EMBEDDING_MODEL, after that was changed and the platform restarted.

    Until all is done, searches go on by the old vectors, and new documents get vectors of the old model too; then the
    new ones take their places at once. It is a job of the platform: interrupting this command leaves it running, and
    started again, the command shows how far it is. A job that was cut short goes on where it was.
    """
    settings = Settings.load()
    session = connection.session(settings, "default")  # whoever asks, it is one job of the whole installation
    as_json = terminal.wants_json(as_json)

    async def act(client: Client) -> dict[str, Any]:
        spec = JobSpec(
            kind=REINDEX,
            args={"force": force},
            project=session.project,
            # One at a time in an installation: who asks again, sees the one that runs.
            id=following_job_id(reached(lambda: client.shared.installation.registered_id) or "", "reindex"),
            principal=session.principal,
        )
        queue = client.shared.queue
        await asyncio.to_thread(queue.forget, [spec.id])
        await asyncio.to_thread(queue.ensure, [spec])
        if (reason := await client.no_worker_reason(spec.kind.queue)) is not None:
            click.echo(f"note: {reason}", err=True)
        await _followed(client, session, spec.id)
        result: dict[str, Any] = (await client.shared.async_queue.outcome(spec.id, 1.0)).unwrap()
        return result

    try:
        found = connection.run(settings, act)
    except KeyboardInterrupt:
        click.echo("the job goes on; `ltmc reindex` shows how far it is", err=True)
        sys.exit(130)
    if as_json:
        terminal.show_json(found)
    elif found["changed"]:
        click.echo(f"{found['vectors']:,} vectors are now of {found['model']} (before: {found['before']})")
    else:
        click.echo(f"nothing to do: {found['vectors']:,} vectors, all of {found['model']}; --force makes them anew")


async def _followed(client: Client, session: Session, job_id: str) -> None:
    """Show a job's progress until it has ended."""
    out = terminal.error_console()
    columns = (TextColumn("embedding"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    said = time.monotonic()
    with Progress(*columns, console=out, transient=True, disable=not out.is_terminal) as progress:
        bar = progress.add_task("embedding", total=None)
        while not (info := await client.job(session, job_id)).status.is_final:
            done, total = _told(info)
            progress.update(bar, completed=done, total=total)
            if not out.is_terminal and total and time.monotonic() - said > LINE_SECONDS:
                said = time.monotonic()
                click.echo(f"{done:,} of {total:,} embedded", err=True)
            await asyncio.sleep(LOOK_SECONDS)


def _told(info: JobInfo) -> tuple[int, int | None]:
    told = info.meta.get("progress") or {}
    return int(told.get("done") or 0), int(told["total"]) if told.get("total") else None
