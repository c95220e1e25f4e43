"""The systems as they are started: ours as a user does, the others on free ports, with our Valkey if they need one."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from benchmarks.calls_peers.load import Target
from benchmarks.installation import ROOT, platform, processes
from benchmarks.queue_peers.server import Server
from ltmc_jobs.settings import Settings
from ltmc_jobs.shared import Shared

OURS, BARE, FASTMCP, DOCKET, DOCKET_RESTLESS = (
    *("ltmc", "FastAPI", "FastMCP"),
    *("FastMCP + Docket", "Docket, no pause"),
)
REQUIREMENTS = ("fastmcp[tasks]==4.1.2", "hiredis>=3,<4", "uvloop>=0.22,<1", "httptools>=0.7,<1")
START_SECONDS = 60.0
SETTLE_SECONDS = 60.0
OPEN = ("queued", "started", "deferred")


class Environment:
    """Where FastMCP is installed: once, under the cache folder."""

    def __init__(self, cache: Path) -> None:
        self._home = cache / "fastmcp"

    @property
    def python(self) -> Path:
        return self._home / "bin" / "python"

    @property
    def is_there(self) -> bool:
        done = self._home / "installed"
        return done.exists() and done.read_text() == "\n".join((sys.version, *REQUIREMENTS))

    def install(self) -> bool:
        """False, and why on the screen, where it cannot be."""
        print(f"installing {', '.join(REQUIREMENTS)} in {self._home}", flush=True)
        shutil.rmtree(self._home, ignore_errors=True)
        uv = str(Path(sys.executable).with_name("uv"))
        into = [uv, "pip", "install", "--quiet", "--python", str(self.python), *REQUIREMENTS]
        for command in ([uv, "venv", "--quiet", "--python", sys.executable, str(self._home)], into):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                print(f"FastMCP is left out: it could not be installed\n{done.stderr[-500:]}", flush=True)
                return False
        (self._home / "installed").write_text("\n".join((sys.version, *REQUIREMENTS)))
        return True


@contextmanager
def ours(home: Path) -> Iterator[tuple[Target, Settings, Shared]]:
    """The platform on free ports, with the two tools of the benchmark."""
    with platform(home, LTMC_TOOLS=str(Path(__file__).with_name("own_tools.py"))):
        settings = Settings.load()
        shared = Shared.open(settings)
        yield (
            Target(OURS, settings.http_port, cpu_of(lambda: processes(settings)), lambda: _settle(shared)),
            settings,
            shared,
        )
        shared.close()


@contextmanager
def bare() -> Iterator[Target]:
    """The FastAPI route."""
    with _server(sys.executable, "benchmarks.calls_peers.bare") as (port, process):
        yield Target(BARE, port, cpu_of(lambda: [process]))


@contextmanager
def fastmcp(environment: Environment) -> Iterator[Target]:
    """The FastMCP server, its worker within, and a Valkey of its own, whose processor time counts as its."""
    with tempfile.TemporaryDirectory() as folder, Server(Path(folder)) as server:
        redis = psutil.Process(server.pid)
        with _server(str(environment.python), "benchmarks.calls_peers.fastmcp", server.url) as (port, process):
            yield Target(FASTMCP, port, cpu_of(lambda: [process, redis]))


@contextmanager
def _server(python: str, module: str, *words: str) -> Iterator[tuple[int, psutil.Process]]:
    with socket.create_server(("127.0.0.1", 0)) as spare:
        port = spare.getsockname()[1]
    with tempfile.TemporaryFile() as log:
        started = subprocess.Popen([python, "-m", module, str(port), *words], cwd=ROOT, stdout=log, stderr=log)
        try:
            _await(port, started)
            yield port, psutil.Process(started.pid)
        finally:
            started.kill()
            started.wait()
            log.seek(0)
            if told := log.read()[-2000:].decode(errors="replace").strip():
                print(f"{module}: {told}", flush=True)


def _await(port: int, started: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and started.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise SystemExit("a server did not start")


def _settle(shared: Shared) -> None:
    """Wait until no job is left."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while any(states[name] for states in shared.queue.counts().values() for name in OPEN):
        if time.monotonic() > deadline:
            raise SystemExit("jobs are left over")
        time.sleep(0.02)


def cpu_of(found: Callable[[], list[psutil.Process]]) -> Callable[[], float]:
    """What processes that live have used of the processor, in seconds."""

    def used() -> float:
        total = 0.0
        for process in found():
            with suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system
        return total

    return used
