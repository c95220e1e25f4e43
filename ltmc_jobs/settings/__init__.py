"""Every knob, read once: the environment's variables, the originals' names accepted as aliases.

Only process entry points make a Settings; everything else is handed one. docs/settings.md is generated from here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import AliasChoices, Field, ValidationError, field_validator

from ltmc_jobs.errors import Misconfigured
from ltmc_jobs.settings.fleet import FleetSettings
from ltmc_jobs.settings.front_end import LOOPBACK_NAMES, FrontEndSettings
from ltmc_jobs.settings.home import PROJECT_PATTERN, Home
from ltmc_jobs.settings.memory import MemorySettings
from ltmc_jobs.settings.redis import RedisSettings
from ltmc_jobs.settings.tools import ToolSettings

__all__ = ["LOOPBACK_NAMES", "PROJECT_PATTERN", "Settings"]


class Settings(ToolSettings, MemorySettings, FleetSettings, FrontEndSettings, RedisSettings):
    """What a process is told by its environment. Unknown variables are ignored, wrong values refused by name."""

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO",
        validation_alias=AliasChoices("LOG_LEVEL", "LTMC_LOG_LEVEL", "LETTA_WORKER_LOG_LEVEL"),
        description="How much is logged",
    )
    orchestration_mode: Literal["disabled", "basic", "full", "debug"] = Field(
        "basic", validation_alias="ORCHESTRATION_MODE", description="Shown in /health; the services come with it"
    )

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value

    @field_validator("orchestration_mode", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @classmethod
    def load(cls) -> Settings:
        """Read the environment; raise Misconfigured with a line for each wrong variable: its name, what is wrong."""
        try:
            return cls()
        except ValidationError as error:
            raise Misconfigured("\n".join(_told(found) for found in error.errors())) from None

    @classmethod
    def load_home(cls) -> Settings:
        """As `load`; where other variables are wrong the home alone, which is enough to see what runs and stop it."""
        try:
            return cls.load()
        except Misconfigured:
            return cls.model_construct(home=Home().home)

    @property
    def run_directory(self) -> Path:
        """Sockets, pid files and locks of the running platform."""
        return self.home / "run"


def _told(found: Any) -> str:
    """A line about one wrong variable; what was given only where it is no secret."""
    variable = str(found["loc"][0]) if found["loc"] else "settings"
    message = found["msg"].removeprefix("Value error, ")
    is_secret = any(
        variable in getattr(field.validation_alias, "choices", [field.validation_alias])
        and "SecretStr" in str(field.annotation)
        for field in Settings.model_fields.values()
    )
    return f"{variable}: {message}" + ("" if is_secret else f" (got {found.get('input')!r})")
