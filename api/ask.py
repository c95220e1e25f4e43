"""`ltmc ask`: a question, and the passages that answer it."""

from __future__ import annotations

import time

import click

from api import connection, terminal
from ltmc_jobs.settings import Settings


@click.command("ask")
@click.argument("question", nargs=-1, required=True)
@click.option("--top-k", type=click.IntRange(1, 100), default=5, show_default=True, help="How many passages at most")
@click.option("--project", help="Project to ask [LTMC_PROJECT]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON (as it does when piped).")
def ask(question: tuple[str, ...], top_k: int, project: str | None, as_json: bool) -> None:
    """Find the passages that are nearest in meaning to a question."""
    settings = Settings.load()
    session = connection.session(settings, project)
    arguments = {"query": " ".join(question), "top_k": top_k}
    started = time.monotonic()
    answer = connection.run(settings, lambda client: client.call("retrieve_memory", arguments, session))
    seconds = time.monotonic() - started
    terminal.show_answer(answer, as_json=as_json)
    if not terminal.wants_json(as_json) and answer.result is not None:
        click.echo(f"{answer.result['total_results']} passages of project {session.project} in {seconds * 1000:.0f} ms")
