"""The table of every variable, made from Settings: docs/settings.md is its output."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import AliasChoices, SecretStr
from pydantic.fields import FieldInfo

from ltmc_jobs.settings import Settings

INTRODUCTION = """\
# Settings

Every setting is an environment variable, read once when a process starts. A wrong value is refused with one line that
names the variable. Where two names stand, the first is ours and the others are accepted for it; of two that are set,
the one that stands first wins. Secrets are never shown or logged, and none has a default.

This page is made by `ltmc settings --markdown > docs/settings.md`.
"""

SCRIPTS = """\

## Read by the scripts

`./start_workers.sh`, `./run_tests.sh` and `deploy/setup.sh` read these themselves, when they install.

"""
SCRIPT_VARIABLES = {
    "PYTHON": ("the newest found, 3.11 or later", "The Python that `.venv` is made with"),
    "LTMC_TORCH": ("a CPU build of torch", "`0`: install no torch, `cuda`: with the CUDA libraries (several GB)"),
}


@dataclass(frozen=True, slots=True)
class Row:
    """One setting, as people read it."""

    names: tuple[str, ...]
    type: str
    default: str
    effect: str
    secret: bool


def rows() -> Iterator[Row]:
    """Every setting, in the order of its definition."""
    for name, field in Settings.model_fields.items():
        yield Row(
            names=variables(name, field),
            type=_type(field.annotation) + _bounds(field),
            default=_default(field),
            effect=field.description or "",
            secret=_is_secret(field.annotation),
        )


def variables(name: str, field: FieldInfo) -> tuple[str, ...]:
    """The variables that set a field, ours first."""
    alias = field.validation_alias
    choices = alias.choices if isinstance(alias, AliasChoices) else [alias or name]
    return tuple(str(choice) for choice in choices)


def table() -> str:
    """The whole page, in Markdown."""
    lines = ["| variable | type | default | effect | secret |", "| --- | --- | --- | --- | --- |"]
    for row in rows():
        names = ", ".join(f"`{name}`" for name in row.names)
        cells = [names, row.type, row.default, row.effect, "yes" if row.secret else ""]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    scripts = ["| variable | default | effect |", "| --- | --- | --- |"]
    scripts += [f"| `{name}` | {default} | {effect} |" for name, (default, effect) in SCRIPT_VARIABLES.items()]
    return INTRODUCTION + "\n" + "\n".join(lines) + "\n" + SCRIPTS + "\n".join(scripts) + "\n"


def _type(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is typing.Annotated:
        return _type(arguments[0])
    if origin in (Union, types.UnionType):
        return _type(next(kind for kind in arguments if kind is not type(None)))
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin is tuple:
        return "list, comma-separated"
    named = {bool: "true or false", int: "whole number", float: "number", Path: "path"}
    return named.get(annotation, "text")


def _bounds(field: FieldInfo) -> str:
    low = next((mark.ge for mark in field.metadata if getattr(mark, "ge", None) is not None), None)
    high = next((mark.le for mark in field.metadata if getattr(mark, "le", None) is not None), None)
    if low is None and high is None:
        return ""
    return f", {low} to {high}" if high is not None else f", {low} or more"


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None:  # where it is differs between machines
        return "`ltmc` in the user's data folder"
    if field.default is None or field.default == ():
        return "–"
    return f"`{str(field.default).lower() if isinstance(field.default, bool) else field.default}`"


def _is_secret(annotation: Any) -> bool:
    return annotation is SecretStr or SecretStr in get_args(annotation)
