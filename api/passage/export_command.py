"""`ltmc export-memory`: a project's memory as JSON lines."""

from __future__ import annotations

import json
import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

import click

from api import connection, terminal
from api.passage import calling
from ltmc_jobs.client import Client
from ltmc_jobs.errors import Conflict
from ltmc_jobs.settings import Settings

KINDS = ("document", "message", "todo", "pattern", "link")


@click.command("export-memory")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--project", help="Project to read [LTMC_PROJECT]")
@click.option("--kinds", multiple=True, type=click.Choice(KINDS), help="Only records of this kind; repeatable")
@click.option("--file-name", help="Only the document of this name")
@click.option("--conversation-id", help="Only what belongs to this conversation")
@click.option("--resource-type", help="Only documents of this type")
@click.option("--with-versions", is_flag=True, help="With each document, when its versions were stored.")
@click.option("--force", is_flag=True, help="Replace FILE.")
@click.option("--json", "as_json", is_flag=True, help="Print the counts as JSON.")
def export_memory(file: Path, project: str | None, force: bool, as_json: bool, **asked: Any) -> None:
    """Write a project's memory to FILE, a JSON line a record: documents, messages, todos, code patterns, links.

    `-` writes to standard output. FILE is there when it is complete; `ltmc import-memory FILE` takes it in again, also
    elsewhere. Vectors and what a text itself links to are made anew there. A copy of everything is `ltmc backup`.
    """
    settings = Settings.load()
    session = connection.session(settings, project)
    chosen = {name: value for name, value in asked.items() if value}
    if "kinds" in chosen:
        chosen["kinds"] = list(chosen["kinds"])
    if str(file) != "-" and file.exists() and not force:
        raise Conflict(f"{file} is there already; --force replaces it")

    async def run(client: Client) -> dict[str, int]:
        counts: dict[str, int] = {}
        with ExitStack() as stack:
            output = stack.enter_context(_Written(file))
            bar = stack.enter_context(calling.progress("exporting"))
            cursor = None
            while True:
                page = await calling.call(client, session, "export_memory", chosen | {"cursor": cursor, "limit": 500})
                for record in page["records"]:
                    output.write(json.dumps(record, ensure_ascii=False) + "\n")
                    counts[record["kind"]] = counts.get(record["kind"], 0) + 1
                bar(sum(counts.values()), sum(page["totals"].values()))
                cursor = page["next_cursor"]
                if cursor is None:
                    return counts

    counts = connection.run(settings, run)
    if as_json:
        click.echo(json.dumps({"file": str(file), "counts": counts}), err=str(file) == "-")
    else:
        told = ", ".join(f"{count:,} {kind}{'s' * (count != 1)}" for kind, count in counts.items()) or "nothing"
        click.echo(terminal.printable(f"{file}: {told}"), err=str(file) == "-")


class _Written:
    """A file for its owner alone, that gets its name when all is written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._unfinished = path.with_name(f".{path.name}.{os.getpid()}")

    def __enter__(self) -> IO[str]:
        if str(self._path) == "-":
            return sys.stdout
        try:
            descriptor = os.open(self._unfinished, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
        except OSError as error:
            raise click.BadParameter(f"{self._path}: {error.strerror}", param_hint="FILE") from None
        self._file = os.fdopen(descriptor, "w", encoding="utf-8")
        return self._file

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if str(self._path) == "-":
            return
        self._file.close()
        if kind is None:
            self._unfinished.replace(self._path)
        else:
            self._unfinished.unlink()
