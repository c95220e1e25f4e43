"""`ltmc demo`: a small observatory's papers into memory, and four questions to them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from api import connection, ingest_plan, platform, terminal
from api.ingest import Ingest, Report
from api.manifest import Manifest
from ltmc_jobs.client import Client
from ltmc_jobs.errors import JobFailed
from ltmc_jobs.queues.queue import reached
from ltmc_jobs.settings import Settings

CORPUS = Path(__file__).parent / "demo"
PROJECT = "demo"


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, and the words that the right passage holds."""

    question: str
    document: str
    words: str


QUESTIONS = (
    Asked("Why was the big mirror taken out of the telescope?", "demo/mirror.md", "fungus"),
    Asked("Can I come and look through the telescope with my children?", "demo/visitors.html", "children"),
    Asked("What should I do when it begins to rain while the roof is open?", "demo/weather.md", "close"),
    Asked("How do we find out whether a picture is sharp?", "demo/sharpness.py", "width"),
)


@click.command("demo")
def demo() -> None:
    """Ingest a small corpus into project `demo` and ask it four questions; starts the platform if none runs."""
    settings = Settings.load()
    platform.ensure_running(settings)
    report, seconds, answers = connection.run(settings, lambda client: _show_off(client, settings))
    if report.broken:
        raise JobFailed("; ".join(f"{name}: {reason}" for name, reason in report.broken))
    done = len(report.searchable) or len(report.unchanged)
    click.echo(f"{done} documents are searchable in project {PROJECT} ({seconds:.1f} s)\n")
    right = sum(_show(asked, passages, took) for asked, passages, took in answers)
    if right < len(QUESTIONS):
        raise JobFailed(f"only {right} of {len(QUESTIONS)} answers are the right passage; `ltmc doctor` may say why")
    click.echo("All four are right. What next:")
    click.echo("  ltmc ask --project demo 'Who looks after the dome?'   ask this corpus something else")
    click.echo("  ltmc ingest PATH…                                    put your own files in")
    click.echo("  ltmc --help                                          everything else")


async def _show_off(
    client: Client, settings: Settings
) -> tuple[Report, float, list[tuple[Asked, Sequence[dict[str, Any]], float]]]:
    session = connection.session(settings, PROJECT)
    memory = reached(lambda: client.shared.installation.registered_id) or ""
    manifest = Manifest(settings.home / "ingest" / f"{PROJECT}.sqlite", memory)
    started = time.monotonic()
    ingest = Ingest(client, session, manifest, force=False, concurrency=16, say=lambda _event, _name: None)
    try:
        report = await ingest.run(ingest_plan.plan([CORPUS], include=["*.md", "*.html", "*.py"]))
    finally:
        manifest.close()
    seconds = time.monotonic() - started
    answers = []
    for asked in QUESTIONS:
        began = time.monotonic()
        answer = await client.call("retrieve_memory", {"query": asked.question, "top_k": 3}, session, wait_seconds=45)
        found = (answer.result or {}).get("retrieved_chunks", [])
        answers.append((asked, found, time.monotonic() - began))
    return report, seconds, answers


def _show(asked: Asked, passages: Sequence[dict[str, Any]], seconds: float) -> bool:
    out = terminal.console()
    out.print(Text(asked.question, style="bold"))
    if not passages:
        out.print("  nothing found\n")
        return False
    best = passages[0]
    out.print(Text(f"  {' '.join(best['content'].split())[:500]}"))
    out.print(Text(f"  {terminal.source(best)}, score {best['score']:.3f}, {seconds * 1000:.0f} ms\n", style="dim"))
    return bool(best["file_name"] == asked.document and asked.words in best["content"].lower())
