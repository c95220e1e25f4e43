"""The one server that all systems use: our bundled Valkey, as the platform sets it up, on a free port."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import redis

from workers.server import find_binary

SETTINGS = {
    "bind": "127.0.0.1",
    "appendonly": "yes",
    "appendfsync": "everysec",
    "save": "",
    "maxmemory-policy": "noeviction",
    "stream-node-max-bytes": "256",
    "hash-max-listpack-value": "2048",
    "auto-aof-rewrite-percentage": "0",  # done between systems instead, never while one is measured
}


class Server:
    """Started with `with`; `empty()` before each system."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> Server:
        with socket.create_server(("127.0.0.1", 0)) as spare:
            port = spare.getsockname()[1]
        settings = SETTINGS | {"port": str(port), "dir": str(self._folder), "logfile": str(self._folder / "redis.log")}
        words = [word for name, value in settings.items() for word in (f"--{name}", value)]
        self._process = subprocess.Popen([str(find_binary()), *words])
        self.url = f"redis://127.0.0.1:{port}/0"
        self.client = redis.Redis.from_url(self.url)
        self._wait(lambda: self.client.ping())
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self._process.kill()
        self._process.wait()

    @property
    def pid(self) -> int:
        return self._process.pid

    def empty(self, fsync: str = "everysec") -> None:
        """No key, a new append-only file."""
        self.client.config_set("appendfsync", fsync)
        # At once: what is freed behind our back would be missing from what the next jobs leave.
        self.client.execute_command("FLUSHALL", "SYNC")  # type: ignore[no-untyped-call]
        self.client.bgrewriteaof()
        self._wait(lambda: not self.client.info("persistence")["aof_rewrite_in_progress"])

    def counters(self) -> dict[str, float]:
        """What it has done so far: seconds of processor (all, main thread), commands (scripts' too), reads."""
        processor: Any = self.client.info("cpu")
        found: Any = self.client.info("stats")
        return {
            "redis cpu": processor["used_cpu_user"] + processor["used_cpu_sys"],
            "redis thread": processor["used_cpu_user_main_thread"] + processor["used_cpu_sys_main_thread"],
            "commands": found["total_commands_processed"],
            "reads": found["total_reads_processed"],
        }

    def data_bytes(self) -> int:
        """Memory of keys and values, and of what holds them, without clients' buffers."""
        found: Any = self.client.info("memory")
        return int(found["used_memory"] - found["mem_clients_normal"] - found["mem_aof_buffer"])

    def fdatasync_ms(self, times: int) -> list[float]:
        """What the disk takes to keep 4 kB, in the folder of the append-only file."""
        taken = []
        file = os.open(self._folder / "probe", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        for _ in range(times):
            os.write(file, b"x" * 4096)
            began = time.perf_counter()
            os.fdatasync(file)
            taken.append((time.perf_counter() - began) * 1000)
        os.close(file)
        return taken

    def _wait(self, ready: Any, seconds: float = 60.0) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                if ready():
                    return
            except redis.ConnectionError:
                pass
            time.sleep(0.02)
        raise SystemExit(f"the server does not answer; see {self._folder}")
