"""One command a tool, made from the registry: its options are the published schema."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from api import connection, terminal
from ltmc_jobs import client, registry, user_tools
from ltmc_jobs.errors import Misconfigured, UnknownMethod
from ltmc_jobs.form import Form
from ltmc_jobs.registry import Question
from ltmc_jobs.settings import Settings

__all__ = ["call", "client", "command", "names"]  # importing client declares the tools

LONG_TEXT = 10_000  # an option that may hold more is also read from a file
TYPES: dict[str, type] = {"integer": int, "number": float}


def names() -> list[str]:
    """The commands' names, tools first."""
    _load()
    return [form.name.replace("_", "-") for form in registry.forms()]


def command(name: str) -> click.Command | None:
    """The command of a tool or question; None when there is none of this name."""
    asked = name.replace("-", "_")
    try:
        found = registry.find(asked)
    except UnknownMethod:  # perhaps one of the user's own, which are read only now
        mistakes = _load()
        try:
            found = registry.find(asked)
        except UnknownMethod:
            for mistake in mistakes:
                click.echo(f"LTMC_TOOLS: left out: {terminal.printable(str(mistake))}", err=True)
            return None
    form = found.form
    return click.Command(
        name,
        callback=_callback(form),
        params=[*_parameters(form), *_common(form, waits=not isinstance(found, Question))],
        help=form.description,
        short_help=form.description.splitlines()[0],
        context_settings={"help_option_names": ["-h", "--help"]},
    )


class Calls(click.Group):
    """Every tool by its name alone, also where `ltmc` itself has a command of that name."""

    def list_commands(self, _context: click.Context) -> list[str]:
        return names()

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        return command(name)


call = Calls("call", help="Call a tool, also one whose name is a command's.", subcommand_metavar="TOOL [ARGUMENTS]…")


def _load() -> list[user_tools.Mistake]:
    """Read the user's own tools; not even a wrong setting keeps the others from being there."""
    try:
        return user_tools.load(Settings.load()).mistakes
    except Misconfigured:
        return []


def _callback(form: Form) -> Any:
    def call(project: str | None = None, as_json: bool = False, wait: float | None = None, **given: Any) -> None:
        arguments = _arguments(form, given)
        settings = Settings.load()
        session = connection.session(settings, project)
        answer = connection.run(settings, lambda client: client.call(form.name, arguments, session, wait_seconds=wait))
        terminal.show_answer(answer, as_json=as_json)

    return call


def _common(form: Form, *, waits: bool) -> Iterator[click.Parameter]:
    """The platform's options, but for those whose names the tool's own arguments have."""
    own = form.input_schema["properties"]
    if waits and "wait" not in own:
        text = "Seconds to wait for the result; 0: only the job's id [LTMC_WAIT, 20]"
        yield click.Option(["--wait"], type=click.FloatRange(0, 45), help=text)
    if "project" not in own:
        yield click.Option(["--project"], help="Project to work in [LTMC_PROJECT]")
    if "json" not in own:
        yield click.Option(["--json", "as_json"], is_flag=True, help="Print JSON (as it does when piped).")


def _parameters(form: Form) -> Iterator[click.Parameter]:
    required = form.input_schema.get("required", [])
    properties: dict[str, dict[str, Any]] = form.input_schema["properties"]
    if len(required) == 1:  # then its name may be left out
        yield click.Argument(["positional"], required=False, metavar=f"[{required[0].upper()}]")
    for name, schema in properties.items():
        yield _option(name, _without_null(schema), required=name in required and len(required) > 1)


def _option(name: str, schema: dict[str, Any], *, required: bool) -> click.Option:
    flag, dest, words = f"--{name.replace('_', '-')}", f"given_{name}", [schema.get("description", "")]
    kind = schema.get("type")
    if _is_long(schema):
        words.append("(- reads standard input, @FILE a file, @@ begins a literal @)")
    if schema.get("default") is not None:
        words.append(f"[{schema['default']}]")
    text = " ".join(words)
    if kind == "boolean":
        return click.Option([f"{flag}/--no-{flag[2:]}", dest], default=None, required=required, help=text)
    if "enum" in schema:
        choice = click.Choice([str(value) for value in schema["enum"]])
        return click.Option([flag, dest], type=choice, required=required, help=text)
    if kind == "array":
        many = schema.get("items", {}).get("type") == "string"
        return click.Option([flag, dest], multiple=many, metavar=None if many else "JSON", required=required, help=text)
    metavar = None if kind in (*TYPES, "string") or _may_be_text(schema) else "JSON"
    return click.Option([flag, dest], type=TYPES.get(str(kind), str), metavar=metavar, required=required, help=text)


def _arguments(form: Form, given: dict[str, Any]) -> dict[str, Any]:
    """What was given, as the schema wants it; what was not given is left to the schema's defaults."""
    properties: dict[str, dict[str, Any]] = form.input_schema["properties"]
    positional, required = given.pop("positional", None), form.input_schema.get("required", [])
    if positional is not None:
        if given.get(f"given_{required[0]}") is not None:
            raise click.UsageError(f"{required[0]} is given twice")
        given[f"given_{required[0]}"] = positional
    named = {name: given.get(f"given_{name}") for name in properties}
    told = {
        name: _value(name, value, _without_null(properties[name]))
        for name, value in named.items()
        if value not in (None, ())
    }
    if len(required) == 1 and required[0] not in told:
        raise click.UsageError(f"Missing {required[0].upper()}.")
    return told


def _value(name: str, value: Any, schema: dict[str, Any]) -> Any:
    if isinstance(value, tuple):
        return list(value)
    if _is_long(schema):
        return _text(name, str(value))
    if isinstance(value, str) and schema.get("type") != "string" and "enum" not in schema:
        try:
            return json.loads(value)
        except ValueError as error:
            if _may_be_text(schema):
                return value
            raise click.BadParameter(f"not JSON: {error}", param_hint=f"--{name.replace('_', '-')}") from None
    return value


def _text(name: str, value: str) -> str:
    if not value.startswith("@") and value != "-":
        return value
    if value.startswith("@@"):
        return value[1:]
    try:
        read = sys.stdin.buffer.read() if value == "-" else Path(value[1:]).expanduser().read_bytes()
        return read.decode("utf-8-sig")
    except OSError as error:
        raise click.BadParameter(f"{value[1:]}: {error.strerror}", param_hint=f"--{name}") from None
    except UnicodeDecodeError:
        told = f"{value}: not UTF-8; `ltmc ingest` reads other encodings"
        raise click.BadParameter(told, param_hint=f"--{name}") from None


def _is_long(schema: dict[str, Any]) -> bool:
    return schema.get("type") == "string" and "enum" not in schema and schema.get("maxLength", LONG_TEXT) >= LONG_TEXT


def _may_be_text(schema: dict[str, Any]) -> bool:
    """Whether a text is one of the forms that an argument takes, so that it needs no quotes."""
    return any(kind.get("type") == "string" for kind in schema.get("anyOf", []))


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """`X | None` as X: an option that is not given is the None."""
    kinds = [kind for kind in schema.get("anyOf", []) if kind.get("type") != "null"]
    return schema | kinds[0] if len(kinds) == 1 else schema
