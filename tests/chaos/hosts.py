"""A host: a home with worker processes in it, alone or under the forking parent; and how its processes die."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
from redis import Redis

from tests.conftest import clean_environment
from tests.fleet import ROOT
from workers.recovery import WorkerName

LEASES = "ltmc:1:_:lease"


class Host:
    """Starts workers against one server, and kills them. `name` makes it another machine than the test's own."""

    def __init__(self, home: Path, address: str, *, name: str = "", **environment: object) -> None:
        self.home = home
        self.name = name
        self.log = home.parent / f"{home.name}-{name or 'own'}.log"
        self._environment = clean_environment(
            home, REDIS_URL=address, PYTHONPATH=ROOT, LOG_LEVEL="WARNING", **environment
        )
        self.processes: list[subprocess.Popen[bytes]] = []
        self.deaths: list[tuple[int, float]] = []  # pid, CLOCK_MONOTONIC

    def start(
        self, *queues: str, fleet: bool = False, processes: int = 1, pool: str = "chaos"
    ) -> subprocess.Popen[bytes]:
        """One worker, or a fleet of so many."""
        options = ["--fleet"] * fleet + (["--host", self.name] if self.name else [])
        command = [sys.executable, "-m", "tests.chaos.worker_process", *options, pool, str(processes), *queues]
        with self.log.open("ab") as log:
            process = subprocess.Popen(command, env=self._environment, cwd=ROOT, stdout=log, stderr=log)
        self.processes.append(process)
        return process

    def kill(self, pid: int, number: signal.Signals = signal.SIGKILL) -> None:
        """kill -9, or another end, and note when."""
        self.deaths.append((pid, time.clock_gettime(time.CLOCK_MONOTONIC)))
        with suppress(ProcessLookupError):
            os.kill(pid, number)

    def kill_all(self) -> None:
        """The machine loses its power."""
        for process in self.processes:  # none may see another die
            for one in family(process.pid)[::-1]:
                one.suspend()
        doomed = [one for process in self.processes for one in family(process.pid)]
        for one in doomed:
            self.kill(one.pid)
        psutil.wait_procs(doomed, 5)
        self._bury()

    def workers(self, connection: Redis) -> list[int]:
        """The pids of the worker processes that hold a lease and live."""
        members = connection.zrange(LEASES, 0, -1)
        names = (WorkerName.read(member.decode()) for member in members)  # type: ignore[union-attr]
        return [name.pid for name in names if name and _lives(name.pid)]

    def stop(self, seconds: float = 30.0) -> list[int]:
        """End all as an operator does; their exit codes."""
        for process in self.processes:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
                process.terminate()
        try:
            codes = [process.wait(seconds) for process in self.processes]
            # One that was just started again has nothing yet to end, not even an ear for the request.
            return [0 if code == -signal.SIGTERM else code for code in codes]
        finally:
            for process in self.processes:
                for one in family(process.pid):
                    one.kill()
            self._bury()

    def _bury(self) -> None:
        for process in self.processes:
            process.wait(10)
        self.processes = []


def family(pid: int) -> list[psutil.Process]:
    """A process and all that it has started, the youngest first."""
    try:
        process = psutil.Process(pid)
        return [*reversed(process.children(recursive=True)), process]
    except psutil.NoSuchProcess:
        return []


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
