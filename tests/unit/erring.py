"""A front end and a worker with two tools that fail as they are told: `python -m tests.unit.erring api|worker`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from api import __main__ as front
from ltmc_jobs.errors import error_classes
from ltmc_jobs.registry import Queue, question, tool
from ltmc_jobs.settings import Settings
from workers.pools import Pool
from workers.worker import work

if TYPE_CHECKING:
    from ltmc_jobs.client import Client
    from ltmc_jobs.services import Services
    from ltmc_jobs.session import Session


@tool(queue=Queue.DEFAULT, tiers=(), retries=0)
def fail_in_worker(services: Services, code: str) -> dict[str, Any]:
    """Fail in a job, with the error of this code."""
    raise error_classes()[code]("as told", field="code") if code else ZeroDivisionError("inner words")


@question()
async def fail_in_front(client: Client, session: Session, code: str) -> dict[str, Any]:
    """Fail in the front end, with the error of this code."""
    raise error_classes()[code]("as told", field="code") if code else ZeroDivisionError("inner words")


if __name__ == "__main__":
    if sys.argv[1] == "api":
        sys.exit(front.main())
    work(Settings.load(), Pool("default", (Queue.DEFAULT,), 1))
