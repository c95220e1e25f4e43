"""The user's own tools: which files and modules declare them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import NoDecode

from ltmc_jobs.settings.home import Home

CHOSEN = "tools.json"  # in the run directory: what the running platform has


class ToolSettings(Home):
    """What is loaded besides the platform's own tools."""

    tools: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        validation_alias="LTMC_TOOLS",
        description="Files (`mytools.py`) or modules (`mypackage.tools`) with tools of your own, comma-separated",
    )

    @field_validator("tools", mode="before")
    @classmethod
    def _entries(cls, value: object) -> object:
        """Files by their absolute paths, so that every process of the platform means the same."""
        given = value.split(",") if isinstance(value, str) else value
        if not isinstance(given, list | tuple):
            return given
        return tuple(dict.fromkeys(_absolute(str(part).strip()) for part in given if str(part).strip()))


def _absolute(entry: str) -> str:
    if not is_file(entry):
        return entry
    return os.path.normpath(Path(entry).expanduser().absolute())


def is_file(entry: str) -> bool:
    """Whether an entry means a file, and no module."""
    return entry.endswith(".py") or "/" in entry or os.sep in entry or entry.startswith("~")
