"""Words: what running jobs tell of themselves, on its way to Redis."""

from __future__ import annotations

from collections import deque

import redis

from ltmc_jobs.queues.claims import Claim, Claims

KEPT = 10_000  # while Redis is away; then the oldest are lost
SENT_AT_ONCE = 500

Word = tuple[Claim, str, str]  # the job, "progress" or "log", the text


class Words:
    """Added to from any thread, sent by the courier's."""

    def __init__(self, claims: Claims) -> None:
        self._claims = claims
        self._waiting: deque[Word] = deque(maxlen=KEPT)

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, claim: Claim, kind: str, text: str) -> None:
        """A job says something."""
        self._waiting.append((claim, kind, text))

    def send(self) -> None:
        """Send what waits; kept for the next time where Redis is away."""
        while self._waiting:
            page = [self._waiting.popleft() for _ in range(min(len(self._waiting), SENT_AT_ONCE))]
            try:
                self._claims.report(page)
            except redis.RedisError:
                self._waiting.extendleft(reversed(page[-(KEPT - len(self._waiting)) :]))
                raise
