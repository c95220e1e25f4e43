"""Session: on whose behalf calls are made."""

from __future__ import annotations

from dataclasses import dataclass

from ltmc_jobs.errors import InvalidArguments
from ltmc_jobs.queues.contract import ANYONE, Principal
from ltmc_jobs.settings import PROJECT_PATTERN


@dataclass(frozen=True, slots=True)
class Session:
    """Project, principal, and the trace that its jobs carry. InvalidArguments for what is no project's name."""

    project: str
    principal: Principal = ANYONE
    trace_id: str = ""

    def __post_init__(self) -> None:
        if not PROJECT_PATTERN.match(self.project):
            raise InvalidArguments("a project is 1 to 64 letters, digits, dots, dashes or underscores", field="project")
