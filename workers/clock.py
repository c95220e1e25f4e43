"""Clock: while this process leads, a thread of its own fires the schedule's ticks at their time."""

from __future__ import annotations

import threading

import redis
import structlog

from ltmc_jobs.queues.clockwork import Clockwork

# What is declared for sooner than this may be as much late.
LOOK_SECONDS = 0.8
AWAY_SECONDS = 1.0

log = structlog.get_logger("ltmc.clock")


class Clock:
    """An errand of the courier's, called with whether this process leads; `token` is its name as the leader."""

    def __init__(self, clockwork: Clockwork, token: str) -> None:
        self._clockwork = clockwork
        self._token = token
        self._stopping: threading.Event | None = None

    def __call__(self, leads: bool) -> None:
        """Begin or stop firing; never blocks. What a thread does that stops late is refused by the server."""
        if leads and self._stopping is None:
            self._stopping = threading.Event()
            threading.Thread(target=self._tick, args=(self._stopping,), daemon=True, name="clock").start()
        elif not leads and self._stopping is not None:
            self._stopping.set()
            self._stopping = None

    def _tick(self, stopping: threading.Event) -> None:
        adopted = False
        while not stopping.is_set():
            try:
                seconds = min(LOOK_SECONDS, self._clockwork.fire_due(self._token))
                if seconds and not adopted:  # first what is due, then a look at the rest
                    self._clockwork.adopt(self._token)
                    adopted = True
            except redis.RedisError as error:
                log.warning("the schedule waits for Redis", error=str(error))
                seconds = AWAY_SECONDS
            except Exception:
                log.exception("a round of the schedule failed; the next one tries again")
                seconds = AWAY_SECONDS
            stopping.wait(seconds)
