"""How results, tables and errors look on a terminal, and as JSON where nobody looks."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import click
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ltmc_jobs.answer import Answer
from ltmc_jobs.errors import InvalidCall, LtmcError, Misconfigured

START = "start the platform with ./start_workers.sh, or ltmc start; `ltmc doctor` finds out what is wrong"

UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
WIDE = 110  # columns; narrower, a table of jobs has no room for an error

# error code → what helps; the others say it themselves
CURES = {
    "queue_unavailable": START,
    "store_unavailable": "`ltmc doctor` says which store, and why",
    "job_lost": "try again; the workers' log (under LTMC_HOME/logs) says why it was lost",
    "job_failed": "`ltmc jobs show ID` shows the job, `ltmc jobs retry ID` runs it again",
    "job_timeout": "`ltmc jobs show ID` shows the job, `ltmc jobs retry ID` runs it again",
    "not_found": "`ltmc jobs list` shows the jobs of a project (--project); finished ones are kept for an hour",
    "unknown_method": "`ltmc --help` names them all",
}


def console() -> Console:
    """Standard output as rich sees it; wide enough for a table where nobody looks."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else 160)


def wants_json(asked: bool) -> bool:
    """Whether to print JSON: asked for, or piped."""
    return asked or not sys.stdout.isatty()


def show_json(value: Any) -> None:
    """Print JSON; indented where somebody looks."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=2 if sys.stdout.isatty() else None))


def show_error(error: LtmcError) -> int:
    """`code: message` and what helps, on standard error; the exit code: 2 for a wrong call or setting, else 1."""
    cure = CURES.get(error.code)
    told = "\n".join(map(printable, str(error).splitlines()))
    job = error.details.get("job_id") or error.details.get("id") or "ID"
    click.echo(f"{error.code}: {told}" + (f"\n  {cure.replace('ID', str(job), 2)}" if cure else ""), err=True)
    return 2 if isinstance(error, InvalidCall | Misconfigured) else 1


def show_answer(answer: Answer, *, as_json: bool) -> None:
    """Print a call's answer, or where its job is."""
    if wants_json(as_json):
        show_json(answer.as_dict())
    elif answer.result is None:
        click.echo(f"{answer.status}: job {answer.job_id}" + (f" ({answer.reason})" if answer.reason else ""))
        click.echo(f"  ltmc job-result {answer.job_id}   waits for its result")
    elif "retrieved_chunks" in answer.result:
        show_passages(answer.result["retrieved_chunks"])
    elif isinstance(answer.result.get("jobs"), list):
        show_jobs(answer.result["jobs"])
    else:
        show_fields(answer.result)


def show_jobs(jobs: Sequence[Mapping[str, Any]]) -> None:
    """Print jobs, one a line: when they were enqueued in local time, the error in words."""
    rows = [
        {**job, "enqueued": when(job.get("enqueued_at") or job.get("created_at"))}
        | {"error": (job.get("error") or {}).get("message")}
        for job in jobs
    ]
    out = console()
    if out.width >= WIDE or not any(row["error"] for row in rows):
        columns = ("job_id", "name", "status", "enqueued", "queue", "error")
        out.print(table(rows, columns if out.width >= WIDE else columns[:4]))
        return
    for row in rows:  # the error on lines of its own
        out.print(table([row], ("job_id", "name", "status", "enqueued"), header=False))
        if row["error"]:
            out.print(Padding(Text(_cut(row["error"], 400)), (0, 0, 0, 4)))


def show_fields(fields: Mapping[str, Any]) -> None:
    """Print names and values, lists of records as tables."""
    out = console()
    for name, value in fields.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            out.print(table(value, list(value[0])))
        else:
            shown = json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)
            out.print(Text(f"{name:<14} {_cut(shown, 2000)}"))


def show_settings(rows: Iterable[Mapping[str, str]]) -> None:
    """Print each setting's names, below them its type, default and effect."""
    out = console()
    for row in rows:
        out.print(Text(row["variable"], style="bold"))
        out.print(Padding(Text(f"{row['type']}; default {row['default']}"), (0, 0, 0, 4)))
        out.print(Padding(Text(row["effect"]), (0, 0, 0, 4)))


def show_passages(passages: Sequence[Mapping[str, Any]]) -> None:
    """Print passages, best first, each with its source and score."""
    out = console()
    if not passages:
        out.print("nothing found; `ltmc ingest PATH…` or `ltmc store-memory` puts something in")
    for place, passage in enumerate(passages, start=1):
        head = Text(f"{place}. {source(passage)}", style="bold")
        out.print(head.append(f"   {passage['score']:.3f} by {passage['match']}", style="dim"))
        out.print(Text(_cut(" ".join(str(passage["content"]).split()), 700)), "")


def source(passage: Mapping[str, Any]) -> str:
    """Where a passage stands: name, and its characters from-to."""
    return f"{printable(str(passage['file_name']))} [{passage['start']}–{passage['end']}]"


def table(rows: Iterable[Mapping[str, Any]], columns: Sequence[str], *, header: bool = True) -> Table:
    """Records as a table of these columns."""
    shown = Table(box=None, pad_edge=False, header_style="bold", show_header=header)
    for column in columns:
        whole = {"job_id": 36, "status": 8, "enqueued": 8}.get(column)  # an id is there to be copied
        shown.add_column(
            column.replace("_", " "),
            min_width=whole,
            no_wrap=column not in ("error", "name", "queues"),
            overflow="fold",
        )
    for row in rows:
        shown.add_row(*(Text(_cut("" if row.get(name) is None else str(row[name]), 200)) for name in columns))
    return shown


def when(time: str | None) -> str:
    """A time in ISO 8601 as the clock here shows it; the day too, if it is not today."""
    if not time:
        return ""
    local = datetime.fromisoformat(time).astimezone()
    today = local.date() == datetime.now().astimezone().date()
    return local.strftime("%H:%M:%S" if today else "%d %b %H:%M")


def span(seconds: float) -> str:
    """A time that passed, to one figure of the unit that fits."""
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _cut(text: str, longest: int) -> str:
    return printable(text if len(text) <= longest else f"{text[: longest - 1]}…")


def printable(text: str) -> str:
    """The text with control characters and what turns the writing direction escaped, so that it steers no terminal."""
    return UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def error_console() -> Console:
    """Standard error as rich sees it: where progress goes, so that a result can be piped."""
    return Console(stderr=True, highlight=False)
