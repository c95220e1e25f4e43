"""`ltmc tools`: what can be called, from which file; `ltmc tools check` tries a file before it is used."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import click

from api import terminal
from ltmc_jobs import client, registry, tool_trial, user_tools
from ltmc_jobs.registry import Tool
from ltmc_jobs.settings import Settings
from ltmc_jobs.settings.tools import ToolSettings

__all__ = ["client", "tools"]  # importing client declares the tools

COLUMNS = ("tool", "module", "origin", "queue", "what")
BUILT_IN = "built in"


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON (as it does when piped).")
@click.pass_context
def tools(context: click.Context, as_json: bool) -> None:
    """List every tool: its module, the file that it comes from, its queue.

    Tools of your own are functions under @tool in the files of LTMC_TOOLS; those that are left out are told with why.
    """
    if context.invoked_subcommand is not None:
        return
    loaded = user_tools.load(Settings.load())
    rows = list(_rows(loaded))
    if terminal.wants_json(as_json):
        terminal.show_json({"tools": rows, "left_out": [str(mistake) for mistake in loaded.mistakes]})
    else:
        terminal.console().print(terminal.table(rows, COLUMNS))
    for mistake in loaded.mistakes:
        click.echo(f"LTMC_TOOLS: left out: {terminal.printable(str(mistake))}", err=True)


@tools.command()
@click.argument("file", nargs=-1, required=True)
def check(file: tuple[str, ...]) -> None:
    """Try files (or modules) of tools, in a process of their own, and say every mistake. Exit code 1 when there is one.

    What is imported by them is run, as it will be in the platform; no tool is called.
    """
    trial = tool_trial.attempt(ToolSettings(LTMC_TOOLS=",".join(file)).tools)
    for name, its in trial.tools.items():
        click.echo(f"{name}: can be used ({terminal.printable(its)})")
    for words in trial.words:
        click.echo(terminal.printable(words), err=True)
    sys.exit(1 if trial.words else 0)


def _rows(loaded: user_tools.Loaded) -> Iterator[dict[str, Any]]:
    for form in registry.forms():
        found = registry.find(form.name)
        yield {
            "tool": form.name,
            "module": form.module,
            "origin": loaded.files.get(form.name, BUILT_IN),
            "queue": found.kind.queue.value if isinstance(found, Tool) else None,
            "what": form.description.splitlines()[0],
        }
