"""When to start again what has died: soon, and later each time it dies young."""

from __future__ import annotations

import time

FIRST_SECONDS = 0.2
LONGEST_SECONDS = 30.0
YOUNG_SECONDS = 10.0


class Backoff:
    """The waiting times of one process."""

    def __init__(self, young_seconds: float = YOUNG_SECONDS) -> None:
        self._young_seconds = young_seconds
        self._deaths = 0
        self._started = 0.0

    def started(self) -> None:
        """It has just been started."""
        self._started = time.monotonic()

    def died(self) -> float:
        """How many seconds to wait before it is started again."""
        lived = time.monotonic() - self._started
        self._deaths = self._deaths + 1 if lived < self._young_seconds else 1
        return float(min(FIRST_SECONDS * 2 ** (self._deaths - 1), LONGEST_SECONDS))
