"""A Redis that dies as machines make it die: killed, its append-only file torn or cut short, started again."""

from __future__ import annotations

import time
from pathlib import Path

import redis

from tests.conftest import wait_until
from workers.server import EmbeddedServer


class MortalServer:
    """Kills and restarts an embedded server."""

    def __init__(self, server: EmbeddedServer) -> None:
        self.server = server
        self.address = server.settings.redis_address()

    def sync_always(self) -> None:
        """Answer only what is on the disk; after restarts too."""
        with redis.Redis.from_url(self.address) as client:
            client.config_set("appendfsync", "always")
            client.config_rewrite()

    def set_memory(self, limit: int) -> None:
        """Refuse writes beyond so many bytes; 0 for no limit."""
        with redis.Redis.from_url(self.address) as client:
            client.config_set("maxmemory", limit)

    def kill(self) -> None:
        """kill -9."""
        assert self.server.process is not None
        self.server.process.kill()
        self.server.process.wait()

    def restart(self, after_seconds: float = 0.0) -> None:
        """Start it on what is left of its data."""
        time.sleep(after_seconds)
        self.server.spawn()
        wait_until(self._answers, 20, "the server is back")

    def _answers(self) -> bool:
        try:
            with redis.Redis.from_url(self.address) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    @property
    def file(self) -> Path:
        """The part of the append-only file that it writes to."""
        return max((self.server.directory / "appendonlydir").glob("*.incr.aof"))

    def cut_to(self, size: int) -> None:
        """What was written after so many bytes had not reached the disk."""
        with self.file.open("r+b") as file:
            file.truncate(size)

    def tear(self) -> None:
        """The write that it died in was not whole."""
        with self.file.open("ab") as file:
            file.write(b"*3\r\n$4\r\nHSET\r\n$10\r\nltm")
