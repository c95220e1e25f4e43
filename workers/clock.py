"""Clock: while this process leads, a thread of its own fires the schedule's ticks at their time."""

from __future__ import annotations

import threading

import redis
import structlog

from ltmc_jobs.queues.schedules.clockwork import Clockwork

LOOK_SECONDS = 1.2  # a tick that is due sooner is fired by the thread, which otherwise sleeps
IDLE_SECONDS = 8.0  # and this often whatever is due: rq-scheduler's own loop is kept out meanwhile
AWAY_SECONDS = 1.0

log = structlog.get_logger("ltmc.clock")


class Clock:
    """An errand of the courier's, called once a second with whether this process leads; `token` is its name."""

    def __init__(self, clockwork: Clockwork, token: str) -> None:
        self._clockwork = clockwork
        self._token = token
        self._stopping: threading.Event | None = None
        self._due = threading.Event()

    def __call__(self, leads: bool) -> None:
        """Begin or stop firing, and wake the thread in time. What a thread does that stops late is refused by Redis."""
        if leads and self._stopping is None:
            self._stopping = threading.Event()
            threading.Thread(target=self._tick, args=(self._stopping,), daemon=True, name="clock").start()
        elif not leads and self._stopping is not None:
            self._stopping.set()
            self._due.set()
            self._stopping = None
        elif leads and self._clockwork.is_due_within(LOOK_SECONDS):
            self._due.set()

    def _tick(self, stopping: threading.Event) -> None:
        adopted = False
        while not stopping.is_set():
            self._due.clear()
            try:
                seconds = self._clockwork.fire_due(self._token)
                if seconds and not adopted:  # first what is due, then a look at the rest
                    self._clockwork.adopt(self._token)
                    adopted = True
            except redis.RedisError as error:
                log.warning("the schedule waits for Redis", error=str(error))
                seconds = AWAY_SECONDS
            except Exception:
                log.exception("a round of the schedule failed; the next one tries again")
                seconds = AWAY_SECONDS
            if seconds <= LOOK_SECONDS:
                stopping.wait(seconds)
            else:
                self._due.wait(min(seconds - LOOK_SECONDS / 2, IDLE_SECONDS))
