"""Ownership: whether this home's files are the memory that the server's jobs work on, as last seen.

A front end that loses Redis must not begin a second memory, or write into an old one, on a machine that only lends it
a port.
"""

from __future__ import annotations

import asyncio

from ltmc_jobs.orchestration.installation import Installation
from ltmc_jobs.queues.queue import reached


class Ownership:
    """One per process; what was once seen holds while it lives."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._seen: bool | None = None

    async def look(self) -> None:
        """Ask Redis, once; QueueUnavailable."""
        if self._seen is None:
            registered = await asyncio.to_thread(reached, lambda: self._installation.registered_id)
            self._seen = registered in (None, self._installation.local_id)

    @property
    def is_ours(self) -> bool:
        """Whether calls may work on this home's files; where Redis was never seen, whether it holds a memory at all."""
        return self._seen is not False and self._installation.local_id is not None
