"""Real worker processes for tests, and the client's side of the same installation."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from ltmc_jobs.queues.envelope import Keyring
from ltmc_jobs.settings import Settings
from ltmc_jobs.shared import Shared
from tests.conftest import clean_environment

ROOT = Path(__file__).parents[1]


class WorkerProcesses:
    """Starts, kills and stops worker processes against one server."""

    def __init__(self, settings: Settings, *, home: Path | None = None, **environment: object) -> None:
        self._environment = clean_environment(
            home or settings.home, REDIS_URL=settings.redis_address(), PYTHONPATH=ROOT, **environment
        )
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, *queues: str, pool: str = "tests", module: str = "tests.queue_worker") -> subprocess.Popen[bytes]:
        """One process on these queues."""
        process = subprocess.Popen([sys.executable, "-m", module, pool, *queues], env=self._environment, cwd=ROOT)
        self.processes.append(process)
        return process

    def stop(self) -> Sequence[int]:
        """End all; their exit codes."""
        for process in self.processes:
            process.terminate()
        return [process.wait(20) for process in self.processes]


def open_installation(settings: Settings) -> Shared:
    """The shared state of a home that owns the server's store jobs, as a first start makes it."""
    settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    Keyring.make(settings)
    shared = Shared.open(settings)
    shared.installation.register()
    return shared
