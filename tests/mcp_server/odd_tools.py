"""Tools that only these tests have: one each that answers, takes its time, fails, and says too much."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ltmc_jobs.errors import Conflict
from ltmc_jobs.registry import Queue, tool

if TYPE_CHECKING:
    from ltmc_jobs.services import Services


@dataclass(frozen=True, slots=True)
class Said:
    """What was said, for whom, in which run."""

    text: str
    project: str
    principal: str
    agent_id: str | None
    session_id: str | None


@tool(queue=Queue.DEFAULT, tiers=())
def say(
    services: Services,
    text: Annotated[str, Field(max_length=200_000, description="What to say")],
    times: Annotated[int, Field(ge=1, le=100)] = 1,
) -> Said:
    """Say it again."""
    call = services.current
    return Said(text * times, call.project, call.principal.name, call.principal.agent_id, call.principal.session_id)


@tool(queue=Queue.DEFAULT, tiers=())
def dawdle(services: Services, seconds: float) -> Said:
    """Say it late, telling how far it is."""
    assert services.job is not None
    services.job.progress(1, 2, "half of it")
    time.sleep(seconds)
    return Said("late", services.current.project, "", None, None)


@tool(queue=Queue.DEFAULT, tiers=())
def refuse(_services: Services) -> Said:
    """Fail with an error of ours."""
    raise Conflict("it is not in that state", state="odd")


@tool(queue=Queue.DEFAULT, tiers=())
def stumble(_services: Services) -> Said:
    """Fail with what no caller may see."""
    raise RuntimeError("SELECT secret FROM t -- /srv/data/ltmc.db redis://:pass@127.0.0.1:6381")
