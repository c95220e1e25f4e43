"""`ltmc connect`: show what would change in a client's files, ask, and do it; `--remove` undoes it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import click

from api import terminal
from api.connect.clients import CLIENTS, Asked, Target, targets
from api.connect.ledger import Ledger
from api.connect.planning import connection, removal
from ltmc_jobs.session import Session
from ltmc_jobs.settings import Settings

# What leads a client's process to this platform. Passwords and tokens are not written into other programs' files.
PASSED_ON = ("LTMC_HOME", "LTMC_PROJECT", "HTTP_HOST", "HTTP_PORT", "REDIS_HOST", "REDIS_PORT", "REDIS_DB")
KEPT_BACK = ("REDIS_URL", "LETTA_REDIS_URL", "REDIS_PASSWORD", "LTMC_TOKEN", "LTMC_SIGNING_KEY")
AFTER = {
    "claude-code": "start a new session; /mcp shows the server, /hooks the hooks",
    "claude-desktop": "quit it and start it again",
    "cursor": "open a new chat; Settings > MCP shows the server",
    "vscode": "run `MCP: List Servers` from the command palette and start it",
}


@click.command()
@click.argument("client", type=click.Choice(sorted(CLIENTS)))
@click.option("--remove", is_flag=True, help="Undo it.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option("--print", "only_print", is_flag=True, help="Print the lines to write, and change nothing.")
@click.option("--project", help="The project that the client works in [LTMC_PROJECT]")
@click.option("--http", "over_http", is_flag=True, help="Over HTTP, where the platform always runs; else by a command.")
@click.option("--here", is_flag=True, help="Only for the folder that this is called in; else for the user.")
@click.option(
    "--hooks/--no-hooks", default=True, help="Recall at the start, save before the context is compacted [yes]."
)
def connect(
    client: str,
    *,
    remove: bool,
    yes: bool,
    only_print: bool,
    project: str | None,
    over_http: bool,
    here: bool,
    hooks: bool,
) -> None:
    """Connect an MCP client to this memory: write its configuration, having shown the change and asked.

    All else in its files stays as it is, byte for byte; what they had is kept beside LTMC_HOME's data. Where a client
    has hooks, the memory is recalled when a session begins, and before the context is compacted the conversation's
    text is stored in it.
    """
    settings = Settings.load()
    asked = Asked(
        command=_command(),
        env=_environment(settings),
        project=Session(project).project if project else None,
        url=f"{settings.http_url}/mcp" if over_http else None,
        token_needed=settings.needs_token,
        folder=Path.cwd() if here else None,
        hooks=hooks,
    )
    wanted = targets(client, asked)
    if only_print:
        _print(wanted)
        return
    ledger = Ledger(settings.home / "connected")
    if remove:
        _undo(client, targets(client, _with_hooks(asked)), ledger, yes=yes)
    else:
        _do(client, wanted, ledger, f"ltmc connect {client}{' --here' * here} --remove", yes=yes)


def _do(client: str, wanted: list[Target], ledger: Ledger, undo: str, *, yes: bool) -> None:
    plans = [connection(target, ledger) for target in wanted]  # all of them, before anything is written
    to_do = [plan for plan in plans if not plan.change.is_none]
    if not to_do:
        click.echo(f"{client} is connected already; nothing to change")
        return
    for plan in to_do:
        click.echo(terminal_safe(plan.change.diff()))
    _warn()
    _ask(f"Connect {client} by changing {len(to_do)} file{'s' * (len(to_do) > 1)}?", yes=yes)
    for plan in to_do:
        ledger.note(plan.change, plan.original, plan.members)
        plan.change.apply()
        kept = f" (what it had: {ledger.backup(plan.change.file)})" if plan.original is not None else ""
        click.echo(f"wrote {plan.change.file}{kept}")
    click.echo(f"connected: {AFTER[client]}; `{undo}` undoes it")


def _undo(client: str, wanted: list[Target], ledger: Ledger, *, yes: bool) -> None:
    changes = [removal(target, ledger) for target in wanted]
    to_do = [change for change in changes if not change.is_none]
    for target, change in zip(wanted, changes, strict=True):
        if target.text is not None and change.is_none and change.before is not None:
            click.echo(f"{change.file} was changed by somebody else, and stays")
    if not to_do:
        click.echo(f"{client} is not connected (for the user; --here: for this folder); nothing to change")
        return
    for change in to_do:
        click.echo(terminal_safe(change.diff()))
    _ask(f"Disconnect {client}?", yes=yes)
    for change in to_do:
        change.apply()
        click.echo(f"{'removed' if change.after is None else 'wrote'} {change.file}")
    ledger.forget([change.file for change in to_do])


def _ask(question: str, *, yes: bool) -> None:
    if not yes and not click.confirm(question):
        click.echo("nothing was changed")
        sys.exit(1)


def _print(wanted: list[Target]) -> None:
    for target in wanted:
        click.echo(f"# {target.file}")
        if target.text is not None:
            click.echo(target.text)
            continue
        shown: dict[str, object] = {}
        for member in target.members:
            above = shown
            for name in member.path[:-1]:
                above = above.setdefault(name, {})  # type: ignore[assignment]
            above[member.path[-1]] = [member.value] if member.in_array else member.value
        click.echo(json.dumps(shown, indent=2, ensure_ascii=False) + "\n")


def _with_hooks(asked: Asked) -> Asked:
    """For undoing: also what this call would not have written."""
    return Asked(asked.command, asked.env, asked.project, asked.url, asked.token_needed, asked.folder)


def _command() -> tuple[str, ...]:
    """How a client starts `ltmc`, from whatever directory."""
    script = Path(sys.executable).with_name("ltmc")
    return (str(script),) if script.exists() else (sys.executable, "-m", "api.cli")


def _environment(settings: Settings) -> dict[str, str]:
    """What is set here and leads to this platform: a client starts its servers without this shell's variables."""
    given = {name: value for name, value in os.environ.items() if name in PASSED_ON and value}
    whole = {"LTMC_HOME": str(settings.home)} if "LTMC_HOME" in given else {}
    return given | whole | ({"LTMC_TOOLS": ",".join(settings.tools)} if settings.tools else {})


def _warn() -> None:
    for name in sorted(name for name in os.environ if name in KEPT_BACK):
        click.echo(
            f"{name} is set here and may hold a secret: it is not written; set it where the client starts", err=True
        )


def terminal_safe(text: str) -> str:
    """Lines that steer no terminal."""
    return "\n".join(terminal.printable(line.replace("\t", "    ")) for line in text.splitlines())
