"""Tools that only these tests have: one each that answers, takes its time, fails, and says too much."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ltmc_jobs.errors import Conflict, JobLost
from ltmc_jobs.inquiry import form
from ltmc_jobs.registry import Queue, tool

if TYPE_CHECKING:
    from ltmc_jobs.services import Services


TEXT = {"type": "string"}


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


@tool(changes=("odd",))
def meddle(services: Services, seconds: float) -> Said:
    """Change something, in its own time."""
    time.sleep(seconds)
    return Said("meddled", services.current.project, "", None, None)


@tool
def count_up(services: Services, steps: int) -> Said:
    """Tell each step, and a line."""
    assert services.job is not None
    for step in range(steps):
        services.job.progress(step + 1, steps, f"step {step + 1}")
    services.job.log("counted")
    return Said("counted", services.current.project, "", None, None)


@tool(grace_seconds=0.2)
def wonder(services: Services) -> Said:
    """Ask two things, and then a third."""
    given = services.ask({"name": form("Who?", name=TEXT), "place": form("Where?", place=TEXT)})
    more = services.ask({"sure": form("Sure?", sure={"type": "boolean"})})
    told = [given["name"]["content"]["name"], given["place"]["content"]["place"], str(more["sure"]["content"]["sure"])]
    return Said(" ".join(told), services.current.project, "", None, None)


@tool(executor="process")
def wonder_apart(services: Services) -> Said:
    """Ask before it begins, from a process of its own."""
    given = services.ask({"name": form("Who?", name=TEXT)}, first=True)["name"]
    return Said(given["content"]["name"] if given["action"] == "accept" else given["action"], "", "", None, None)


@tool
def want_model(services: Services) -> Said:
    """Ask the client's model."""
    return Said(str(services.ask({"say": {"method": "sampling/createMessage", "params": {}}})), "", "", None, None)


@tool(retries=0)
def vanish(_services: Services) -> Said:
    """End as a job does that the platform lost."""
    raise JobLost("its worker died")
