"""`ltmc ingest`: an ingest with its progress and its report on the terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from api import connection, ingest_plan, terminal
from api.ingest import Ingest, Report
from api.ingest_plan import Plan
from api.manifest import Manifest
from ltmc_jobs.client import Client
from ltmc_jobs.errors import LtmcError
from ltmc_jobs.queues.queue import reached
from ltmc_jobs.settings import Settings

FEW = 3  # skipped files of one reason are named, more are counted
LINE_SECONDS = 5.0  # where nobody sees a bar move, one line so often


@click.command("ingest")
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--project", help="Project to store in [LTMC_PROJECT]")
@click.option("--include", multiple=True, metavar="GLOB", help="Only files that match, such as '*.md'; repeatable")
@click.option("--exclude", multiple=True, metavar="GLOB", help="No files that match; repeatable")
@click.option("--force", is_flag=True, help="Send unchanged files too (after the memory was emptied).")
@click.option("--verbose", "-v", is_flag=True, help="Name every skipped file, however many there are for one reason.")
@click.option("--dry-run", is_flag=True, help="Say what would be sent, and send nothing.")
@click.option("--concurrency", type=click.IntRange(1, 128), default=16, show_default=True, help="Jobs in flight")
def ingest(
    paths: Sequence[Path],
    project: str | None,
    include: Sequence[str],
    exclude: Sequence[str],
    force: bool,
    verbose: bool,
    dry_run: bool,
    concurrency: int,
) -> None:
    """Store files and folders: Markdown, text, source code, HTML and PDF, one job a file.

    A document's name is its path from the parent of the PATH given (`ltmc ingest notes` stores notes/a.md), so that
    ingesting again makes new versions of changed files; unchanged ones are skipped, and deleted ones stay in memory.
    Left out: what begins with a dot, node_modules, __pycache__, venv, binaries, files above 20 MB. A text too long for
    one job is stored as NAME, NAME#part-2, … An interrupted run goes on where it was when started again.

    \b
    Exit code 0: all stored; 1: some files are broken (each with its reason at the end), or the platform
    cannot be reached; 130: interrupted.
    """
    settings = Settings.load()
    session = connection.session(settings, project)
    plan = ingest_plan.plan(paths, include=include, exclude=exclude)
    with_manifest = settings.home / "ingest" / f"{session.project}.sqlite"
    if dry_run:
        _show_plan(plan, None if force else with_manifest, _local_memory(settings), verbose)
        return

    async def run(client: Client) -> Report:
        memory = reached(lambda: client.shared.installation.registered_id) or ""
        manifest = Manifest(with_manifest, memory)
        with _shown_for(plan) as shown:
            made = Ingest(client, session, manifest, force=force, concurrency=concurrency, say=shown.heard)
            try:
                return await made.run(plan)
            except ExceptionGroup as group:  # all for the same reason: the platform is away
                raise _first(group) from None
            finally:
                manifest.close()

    started = time.monotonic()
    try:
        report = connection.run(settings, run)
    except KeyboardInterrupt:
        click.echo("interrupted; run the same command again and it goes on from here", err=True)
        sys.exit(130)
    show_report(report, time.monotonic() - started, verbose=verbose)
    sys.exit(1 if report.broken else 0)


def show_report(report: Report, seconds: float, *, verbose: bool) -> None:
    """Say what became of the files; the broken ones by name, with the reason."""
    for warning in report.warnings:
        click.echo(f"note: {terminal.printable(warning)}", err=True)
    _show_left("skipped", report.skipped, len(report.skipped) if verbose else FEW)
    _show_left("broken", report.broken, len(report.broken))
    counts = {name: len(getattr(report, name)) for name in ("searchable", "unchanged", "skipped", "broken")}
    if report.unchanged and not (report.searchable or report.broken):
        click.echo("nothing new")
    rate = f" ({counts['searchable'] / seconds:.1f} files/s)" if counts["searchable"] else ""
    click.echo(", ".join(f"{count} {name}" for name, count in counts.items()) + f" in {seconds:.1f} s{rate}")


def _show_left(word: str, files: Sequence[tuple[str, str]], most: int) -> None:
    """A line a file with its reason, but one line for more than `most` files of one reason."""
    of_reason: dict[str, list[str]] = {}
    for name, reason in sorted(files):  # jobs end in any order
        of_reason.setdefault(reason, []).append(name)
    for reason, names in of_reason.items():
        said = [f"{word} {len(names)} files (such as {names[0]}; --verbose names all)"] if len(names) > most else names
        for name in said:
            line = name if len(names) > most else f"{word} {name}"
            click.echo(terminal.printable(f"{line}: {reason}"), err=True)


def _show_plan(plan: Plan, manifest_file: Path | None, memory: str, verbose: bool) -> None:
    manifest = Manifest(manifest_file, memory) if manifest_file and manifest_file.exists() else None
    for found in plan.files:
        kept = manifest.find(found.name) if manifest else None
        same = kept and kept.state == "searchable" and (kept.size, kept.mtime_ns) == (found.size, found.mtime_ns)
        line = f"{'unchanged' if same else 'would store'} {found.name} ({found.size:,} bytes)"
        click.echo(terminal.printable(line))
    left = plan.skipped + plan.broken
    _show_left("would leave out", left, len(left) if verbose else FEW)
    if manifest:
        manifest.close()


def _local_memory(settings: Settings) -> str:
    try:
        return connection.run(settings, _registered) or ""
    except LtmcError:  # nothing runs: a plan can be shown all the same
        file = settings.home / "installation"
        return file.read_text().strip() if file.exists() else ""


async def _registered(client: Client) -> str | None:
    return reached(lambda: client.shared.installation.registered_id)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first


class Shown(Protocol):
    """Hears what happens to the files, and shows how far it is."""

    def __enter__(self) -> Shown: ...

    def __exit__(self, *error: object) -> None: ...

    def heard(self, event: str, name: str) -> None: ...


def _shown_for(plan: Plan) -> Shown:
    return Bars(len(plan.files)) if sys.stderr.isatty() else Lines(len(plan.files))


class Bars:
    """Two bars while it runs: stored and searchable."""

    def __init__(self, total: int) -> None:
        columns = (TextColumn("{task.description:<11}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._progress = Progress(
            *columns, TextColumn("{task.fields[name]}"), console=terminal.error_console(), transient=True
        )
        self._bars = {name: self._progress.add_task(name, total=total, name="") for name in ("stored", "searchable")}
        self._total = total

    def __enter__(self) -> Bars:
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()

    def heard(self, event: str, name: str) -> None:
        if event in self._bars:
            self._progress.update(self._bars[event], advance=1, name=terminal.printable(name))
        else:  # the bars count what is new
            self._total -= 1
            for bar in self._bars.values():
                self._progress.update(bar, total=self._total)


class Lines:
    """A line every few seconds."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._counts: dict[str, int] = {}
        self._next = time.monotonic() + LINE_SECONDS

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *error: object) -> None:
        return None

    def heard(self, event: str, name: str) -> None:
        self._counts[event] = self._counts.get(event, 0) + 1
        if time.monotonic() > self._next:
            self._next = time.monotonic() + LINE_SECONDS
            told = ", ".join(f"{count} {event}" for event, count in self._counts.items())
            click.echo(f"{told} of {self._total}; at {terminal.printable(name)}", err=True)
