"""Redis read ahead, while all goes on, and then again, while writes are held, as far as it has changed since.

So nobody waits for longer than it takes to read what was written meanwhile, however much there is.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import redis
from redis import Redis

from workers.copies import redis_state
from workers.copies.redis_state import BATCH, OURS

CHANNEL = "__redis__:invalidate"  # where a server of any version tells a second connection what has changed


class Reading:
    """The state of one connection's server; `connection` must be a single one, for it is that which is told."""

    def __init__(self, connection: Redis, folder: Path) -> None:
        self._connection: Any = connection
        self._ahead, self._late = folder / "ahead", folder / "late"
        self._seen: set[bytes] = set()
        self._changed: set[bytes] = set()
        self._stale: set[bytes] = set()
        self._listener: Any = None
        self._ahead.touch(mode=0o600)
        try:
            self._listen()
        except redis.ResponseError:  # a managed server may not allow it: then all is read while writes are held
            self._stop_listening()
            return
        names = redis_state.our_keys(connection)
        with self._ahead.open("wb") as file:
            for at in range(0, len(names), BATCH):
                redis_state.write_frames(connection, names[at : at + BATCH], file)
                self._hear()  # a server drops who lets its messages pile up
        self._seen = set(names)

    def settle(self) -> None:
        """Within `writes_held`: read what has changed since, or has come. Then it is the state of one moment."""
        now = set(redis_state.our_keys(self._connection))
        self._hear()
        again = [*((now & self._changed) | (now - self._seen))]
        self._stale = (self._seen - now) | set(again)
        with self._late.open("xb") as file:
            self._late.chmod(0o600)
            for at in range(0, len(again), BATCH):
                redis_state.write_frames(self._connection, again[at : at + BATCH], file)

    def write_to(self, target: Path) -> None:
        """Write that state to a file, and remove what was read for it."""
        with target.open("xb") as file:
            target.chmod(0o600)
            for frame in self._frames():
                file.write(redis_state.packed(*frame))
        self._ahead.unlink()
        self._late.unlink()

    def close(self) -> None:
        """Hear no more."""
        self._stop_listening()

    def _frames(self) -> Iterator[tuple[bytes, int, bytes]]:
        for frame in redis_state.frames(self._ahead):
            if frame[0] not in self._stale:
                yield frame
        yield from redis_state.frames(self._late)

    def _listen(self) -> None:
        listener = self._listener = self._connection.connection_pool.get_connection()
        listener.send_command("CLIENT", "ID")
        number = listener.read_response()
        listener.send_command("SUBSCRIBE", CHANNEL)
        listener.read_response()
        prefixes = [word for prefix in OURS for word in ("PREFIX", prefix)]
        self._connection.execute_command("CLIENT TRACKING", "ON", "REDIRECT", number, "BCAST", *prefixes)

    def _hear(self) -> None:
        """Note what the server has told until now: what stands before the answer to a ping."""
        if self._listener is None:
            return
        self._listener.send_command("PING")
        while True:
            said = self._listener.read_response()
            if said[0] == b"pong":
                return
            # Without names: the server was emptied.
            self._changed.update(said[2] if said[2] is not None else self._seen)

    def _stop_listening(self) -> None:
        if self._listener is not None:
            self._listener.disconnect()  # which ends the telling
            self._connection.connection_pool.release(self._listener)
            self._listener = None
