"""One client for one command: opened, used in one event loop, closed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from ltmc_jobs.client import Client
from ltmc_jobs.errors import QueueUnavailable
from ltmc_jobs.queues.contract import Principal
from ltmc_jobs.queues.envelope import KEY_FILE
from ltmc_jobs.session import Session
from ltmc_jobs.settings import Settings
from ltmc_jobs.shared import Shared

T = TypeVar("T")


def run(settings: Settings, act: Callable[[Client], Awaitable[T]]) -> T:
    """What `act` gives for a client of these settings."""

    async def within() -> T:
        shared = opened(settings)
        try:
            return await act(Client(shared))
        finally:
            await shared.aclose()

    return asyncio.run(within())


def opened(settings: Settings) -> Shared:
    """Shared.open; QueueUnavailable instead where no platform was ever started."""
    never = settings.signing_key is None and not (settings.home / KEY_FILE).exists()
    if settings.redis_enabled and settings.redis_is_embedded and never and not settings.redis_directory.exists():
        raise QueueUnavailable(f"the platform does not run here (home {settings.home})")
    return Shared.open(settings)


def session(settings: Settings, project: str | None = None) -> Session:
    """The command line's own session: the named project, else the setting's."""
    return Session(project=project or settings.project, principal=Principal(name="cli"))
