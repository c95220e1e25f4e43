"""What the doctor's looks share: a finding, and what is known of the patient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import redis

from ltmc_jobs.settings import Settings

START = "./start_workers.sh"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one look found: fine, worth knowing, or a problem with its cure."""

    level: Literal["fine", "note", "problem"]
    what: str
    cure: str = ""


def fine(what: str) -> Finding:
    """Nothing to do."""
    return Finding("fine", what)


def note(what: str, cure: str = "") -> Finding:
    """Worth knowing; nothing suffers."""
    return Finding("note", what, cure)


def problem(what: str, cure: str) -> Finding:
    """Something suffers, and this helps."""
    return Finding("problem", what, cure)


class Patient:
    """What the looks share: the settings, one connection, and what /health said."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.redis: redis.Redis | None = None
        self.health: dict[str, Any] | None = None

    @property
    def is_remote(self) -> bool:
        """Whether the platform's own host is another one."""
        return not self.settings.redis_is_embedded
