"""`ltmc`: every tool as a command, and what an owner needs besides."""

from __future__ import annotations

import shlex
import sys
from importlib import import_module

import click

from ltmc_jobs import __version__
from ltmc_jobs.errors import LtmcError
from ltmc_jobs.settings import Settings

HELP = {"help_option_names": ["-h", "--help"], "max_content_width": 110}

# Loaded when named, so that `ltmc --version` and `ltmc start` stay quick.
ELSEWHERE = {
    "ask": "api.ask:ask",
    "backup": "api.backup:backup",
    "call": "api.tool_commands:call",
    "connect": "api.connect.command:connect",
    "demo": "api.demonstration:demo",
    "doctor": "api.doctor:doctor",
    "drain": "api.fleet:drain",
    "errors": "api.errors_table:errors",
    "export-memory": "api.passage.export_command:export_memory",
    "fleet": "api.fleet:fleet",
    "import-memory": "api.passage.import_command:import_memory",
    "hook": "api.hook:hook",
    "ingest": "api.ingest_command:ingest",
    "jobs": "api.job_commands:jobs",
    "restore": "api.backup:restore",
    "reindex": "api.reindex:reindex",
    "reference": "api.reference:reference",
    "schedules": "api.schedule_commands:schedules",
    "tools": "api.tool_list:tools",
    "why": "api.why:why",
}


class Commands(click.Group):
    """The group of all commands; an error of ours becomes one line and its cure."""

    def list_commands(self, context: click.Context) -> list[str]:
        return sorted([*super().list_commands(context), *ELSEWHERE]) + _tool_names()

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name in ELSEWHERE:
            module, _, attribute = ELSEWHERE[name].partition(":")
            found: click.Command = getattr(import_module(module), attribute)
            return found
        own = super().get_command(context, name)
        if own is not None:
            return own
        from api import tool_commands

        return tool_commands.command(name)

    def invoke(self, context: click.Context) -> object:
        try:
            return super().invoke(context)
        except LtmcError as error:
            from api import terminal

            sys.exit(terminal.show_error(error))

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        tools = _tool_names()
        own = [name for name in self.list_commands(context) if name not in tools]
        for title, names in (("Commands", own), ("Tools", tools)):
            found = [(name, self.get_command(context, name)) for name in names]
            with formatter.section(title):
                formatter.write_dl([(name, command.get_short_help_str(90)) for name, command in found if command])


def _tool_names() -> list[str]:
    from api import tool_commands

    return tool_commands.names()


@click.group(cls=Commands, context_settings=HELP)
@click.version_option(__version__, prog_name="ltmc")
def main() -> None:
    """Long-term memory for agents: every tool is a command, and every call a job.

    Settings are environment variables (`ltmc settings` lists them). Results are printed to be read, and as JSON when
    piped. Exit code 1: the call failed, and standard error says why and what helps; 2: the call itself was wrong.
    """


@main.command()
@click.option("--detach", "-d", is_flag=True, help="Return when it is healthy; it goes on in the background.")
def start(detach: bool) -> None:
    """Start the platform here (as ./start_workers.sh does)."""
    from api import platform

    platform.become("start", *(["--detach"] if detach else []))


@main.command()
def stop() -> None:
    """Stop the platform of this LTMC_HOME."""
    from api import platform

    platform.become("stop")


@main.command()
def status() -> None:
    """Show what runs where. Exit code 0: healthy, 1: not healthy, 3: not running."""
    from api import platform

    platform.become("status")


@main.command()
@click.option("--project", help="Project to work in [LTMC_PROJECT]")
def mcp(project: str | None) -> None:
    """Serve MCP over standard input and output; starts the platform when none runs."""
    from api.mcp.stdio import serve_stdio

    serve_stdio(Settings.load(), project)


@main.command()
def dashboard() -> None:
    """Print a link that opens rq-dashboard once, within ten minutes, for a working day."""
    from api import connection, tickets

    shared = connection.opened(Settings.load())
    click.echo(tickets.link(shared))
    shared.close()


@main.command()
def env() -> None:
    """Print shell lines that lead RQ's own tools to this platform's Redis. They hold its password.

    \b
    eval "$(ltmc env)"
    rq info                    queues and workers
    rq-dashboard               a dashboard of your own
    rq worker -S json mine     a worker for a queue of your own

    rq info shows a queue only once it was used.

    This platform's queues need its own workers: jobs are signed, and a stock worker can't run them.
    """
    from ltmc_jobs.shared import checked_address

    settings = Settings.load()
    address = checked_address(settings)
    lines = {
        "RQ_REDIS_URL": address,
        "RQ_DASHBOARD_REDIS_URL": address,
        "RQ_DASHBOARD_JSON": "1",  # with its default serializer a dashboard opens pickles
        "LTMC_HOME": str(settings.home),
        "HTTP_PORT": str(settings.http_port),
    }
    click.echo("# holds the password of Redis; rq itself takes the serializer as an option: rq … -S json")
    for name, value in lines.items():
        click.echo(f"export {name}={shlex.quote(value)}")


@main.command("settings")
@click.option("--markdown", is_flag=True, help="Print docs/settings.md.")
def show_settings(markdown: bool) -> None:
    """List every variable: what it does, its type and its default."""
    from api import settings_table, terminal

    if markdown:
        click.echo(settings_table.table(), nl=False)
        return
    rows = [
        {"variable": " ".join(row.names), "type": row.type, "default": row.default, "effect": row.effect}
        for row in settings_table.rows()
    ]
    terminal.show_settings([{name: text.replace("`", "") for name, text in row.items()} for row in rows])


if __name__ == "__main__":
    main(prog_name="ltmc")
