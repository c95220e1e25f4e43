"""An installation of a benchmark's own: started as a user starts it, asked over kept-alive connections, weighed."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from ltmc_jobs.settings import Settings

ROOT = Path(__file__).parents[1]
SETTINGS = ("LTMC_", "LETTA_", "REDIS_", "HTTP_PORT", "HTTP_HOST", "NEO4J_", "EMBEDDING_", "DB_PATH", "FAISS_", "LOG_")
MEGABYTE = 1_000_000


class Api:
    """One kept-alive connection, with as little of a client as will do: its time counts as ours."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[dict[str, Any], float]:
        """The answer, and when it was there; an error of any kind ends the benchmark."""
        content = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost:{self._port}\r\nContent-Type: application/json\r\n"
        reader, writer = self._streams = self._streams or await asyncio.open_connection("localhost", self._port)
        writer.write(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)
        answered = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        answer = await reader.readexactly(int(answered.split("content-length:")[1].split("\r\n")[0]))
        ended = time.time()
        if answered.split()[1] != "200":
            raise SystemExit(f"{method} {path}: {answered.split(chr(13))[0]}: {answer.decode()[:500]}")
        found: dict[str, Any] = json.loads(answer)
        return found, ended

    def close(self) -> None:
        if self._streams:
            self._streams[1].close()


@contextmanager
def platform(home: Path, **environment: str) -> Iterator[float]:
    """Start it as a user does, on free ports, under these settings; the time at which the command was given."""
    spare = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    ports = {name: str(held.getsockname()[1]) for name, held in zip(("HTTP_PORT", "REDIS_PORT"), spare, strict=True)}
    for held in spare:
        held.close()
    for name in [name for name in os.environ if name.startswith(SETTINGS) or name == "PYTHONDONTWRITEBYTECODE"]:
        del os.environ[name]
    os.environ |= {"LTMC_HOME": str(home), **ports, **environment}
    script = ROOT / "start_workers.sh"
    installed = (ROOT / ".venv" / ".setup-run").exists() and script.exists()  # else it would install now
    command = [str(script)] if installed else [sys.executable, "-m", "workers", "start"]
    began = time.time()
    started = subprocess.run([*command, "--detach"], cwd=ROOT, capture_output=True, text=True, check=False)
    try:
        if started.returncode:
            raise SystemExit(started.stdout + started.stderr)
        yield began
    finally:
        subprocess.run([sys.executable, "-m", "workers", "stop"], cwd=ROOT, capture_output=True, check=False)


def processes(settings: Settings) -> list[psutil.Process]:
    supervisor = json.loads((settings.run_directory / "platform.json").read_text())["supervisor"]["pid"]
    found = psutil.Process(supervisor)
    return [found, *found.children(recursive=True)]


def tree_megabytes(settings: Settings) -> float:
    """The tree's share of memory: what processes have in common counts once (macOS tells only what is their own)."""
    found = memory(settings).values()
    return float(sum(getattr(one, "pss", one.uss) for one in found)) / MEGABYTE


def memory(settings: Settings) -> dict[int, Any]:
    """What psutil tells of each process that lives long enough to be asked."""
    found = {}
    for process in processes(settings):
        with suppress(psutil.NoSuchProcess):
            found[process.pid] = process.memory_full_info()
    return found
