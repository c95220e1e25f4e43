"""Where the data is, and the project of a call that names none."""

from __future__ import annotations

import re
from pathlib import Path

import platformdirs
from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

PROJECT_PATTERN = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")


class Home(BaseSettings):
    """Where the data is."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, case_sensitive=True, env_ignore_empty=True)

    home: Path = Field(
        default_factory=lambda: Path(platformdirs.user_data_dir("ltmc")),
        validation_alias="LTMC_HOME",
        description="Directory of all data, owner-only; relative paths resolve here",
    )

    @field_validator("home")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    def resolve(self, path: Path) -> Path:
        """An absolute path; relative ones stand under the home."""
        return path if path.is_absolute() else self.home / path
