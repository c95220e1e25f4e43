"""The one blocking read of an idle worker process, whatever the number of its queues: a list that wakers push to."""

from __future__ import annotations

import contextlib
import socket
import time
from typing import Any

import redis
from redis import Redis

from ltmc_jobs import keys

# Long, since nothing is polled for; it ends now and then so that a connection that died silently is noticed.
BLOCK_SECONDS = 30
GRACE_SECONDS = 5.0


class WakeCall:
    """A connection on which a BLPOP is always out. Messages: `w` (there is work) or `c<job>` (stop this job)."""

    def __init__(self, connection: Redis, worker: str, silent_seconds: float = BLOCK_SECONDS + GRACE_SECONDS) -> None:
        """A connection from which nothing came for `silent_seconds` is taken for dead."""
        self._pool = connection.connection_pool
        self._key = f"{keys.PREFIX}wake:{worker}"
        self._silent_seconds = silent_seconds
        self._line: Any = None
        self._asked = 0.0

    def sources(self) -> list[socket.socket]:
        """What becomes readable when there is a message."""
        sock = getattr(self._line, "_sock", None)
        return [sock] if sock is not None else []

    def listen(self) -> bool:
        """Send the read, if none is out; whether it goes over a new connection. Raises redis.RedisError.

        What the old one was told last may have been lost with it.
        """
        if self._line is not None and time.monotonic() - self._asked > self._silent_seconds:
            self.reset()  # the server would have answered by now: the connection has died without a word
        if self._line is not None:
            return False
        line: Any = self._pool.make_connection()
        line.connect()
        line.send_command("BLPOP", self._key, BLOCK_SECONDS)
        self._line, self._asked = line, time.monotonic()
        return True

    def messages(self) -> list[bytes]:
        """The message that has come, if any; the next read is out."""
        if self._line is None:
            return []
        answer = self._line.read_response()
        self._line.send_command("BLPOP", self._key, BLOCK_SECONDS)
        self._asked = time.monotonic()
        return [answer[1]] if answer else []

    def reset(self) -> None:
        """Drop the connection; `listen` makes another."""
        line, self._line = self._line, None
        if line is not None:
            with contextlib.suppress(redis.RedisError, OSError):
                line.disconnect()

    def close(self) -> None:
        """As `reset`, for good."""
        self.reset()
