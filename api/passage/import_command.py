"""`ltmc import-memory`: records from a file of ours, of MCP's reference memory server, or a folder of notes."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import click

from api import connection, terminal
from api.passage import calling, sources
from ltmc_jobs.client import Client
from ltmc_jobs.settings import Settings

BATCH_RECORDS = 200
BATCH_CHARACTERS = 1_000_000
COUNTED = ("documents", "messages", "todos", "patterns", "links", "unchanged")


@click.command("import-memory")
@click.argument("place", metavar="FILE|FOLDER", type=click.Path(exists=True, path_type=Path))
@click.option("--project", help="Project to store in [LTMC_PROJECT]")
@click.option("--json", "as_json", is_flag=True, help="Print the counts as JSON.")
def import_memory(place: Path, project: str | None, as_json: bool) -> None:
    """Take records in: what is there already changes nothing, so an interrupted import is simply run again.

    \b
    FILE    the JSON lines of `ltmc export-memory`, or the memory.jsonl of MCP's reference memory
            server (entities become documents, relations links)
    FOLDER  Markdown notes as Basic Memory keeps them: front matter, observations, [[wiki links]]

    A record that cannot be taken is told with its line and stops no other. Exit code 1: there were such.
    """
    settings = Settings.load()
    session = connection.session(settings, project)
    total = place.stat().st_size if place.is_file() else 0

    async def run(client: Client) -> tuple[Counter[str], list[tuple[str, str]]]:
        counts: Counter[str] = Counter()
        refused: list[tuple[str, str]] = []
        done = 0
        with calling.progress("importing") as bar:
            for batch in _batches(sources.records_of(place)):
                records = [record for _, record, _ in batch]
                taken = await calling.call(client, session, "import_memory", {"records": records})
                counts.update({name: taken[name] for name in COUNTED})
                refused += [(batch[one["line"] - 1][0], one["reason"]) for one in taken["refused"]]
                done += sum(size for _, _, size in batch)
                bar(min(done, total) if total else 0, total)
        return counts, refused

    counts, refused = connection.run(settings, run)
    if as_json:
        told = [{"place": where, "reason": reason} for where, reason in refused]
        click.echo(json.dumps({**{name: counts[name] for name in COUNTED}, "refused": told}))
    else:
        for where, reason in refused:
            click.echo(terminal.printable(f"refused {where}: {reason}"), err=True)
        shown = [f"{counts[name]:,} {name}" for name in COUNTED if counts[name]] or ["nothing"]
        click.echo(", ".join(shown) + (f", {len(refused)} refused" if refused else ""))
        if counts["documents"]:
            click.echo("documents are found by their words at once, and by meaning as soon as they are embedded")
    sys.exit(1 if refused else 0)


def _batches(items: Iterator[sources.Item]) -> Iterator[list[tuple[str, object, int]]]:
    """(place, record, its length) so many at once that a job can carry them."""
    batch: list[tuple[str, object, int]] = []
    size = 0
    for where, record in items:
        length = len(json.dumps(record, ensure_ascii=False)) + 1
        if batch and (len(batch) == BATCH_RECORDS or size + length > BATCH_CHARACTERS):
            yield batch
            batch, size = [], 0
        batch.append((where, record, length))
        size += length
    if batch:
        yield batch
