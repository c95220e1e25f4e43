"""Bring back what a dead process of this machine held: its journal says what it had ended, and what it was at."""

from __future__ import annotations

import hashlib
import os
import socket
import uuid
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import structlog
from redis import Redis

from ltmc_jobs import keys
from ltmc_jobs.queues.claims import Claims, Ending, bury
from ltmc_jobs.settings import Settings
from workers import journal, processes

LEASES = keys.key(keys.INSTALLATION, "lease")

log = structlog.get_logger("ltmc.worker")


class WorkerName(NamedTuple):
    """Which process a worker is; its name says it, so that anybody can tell whether it still lives."""

    host: str
    pool: str
    pid: int
    started: int  # hundredths of a second
    place: str

    @classmethod
    def own(cls, pool: str) -> WorkerName:
        """This process."""
        host = socket.gethostname().replace("/", "-")
        return cls(host, pool, os.getpid(), _started(os.getpid()), place())

    @classmethod
    def read(cls, name: str) -> WorkerName | None:
        """The parts of a name; None for a worker that is not ours."""
        try:
            host, pool, pid, started, where = name.rsplit(".", 4)
            return cls(host, pool, int(pid), int(started), where)
        except ValueError:
            return None

    def __str__(self) -> str:
        return ".".join(map(str, self))

    @property
    def is_dead_here(self) -> bool:
        """Whether it was a process of this place and is gone, its pid perhaps given out again."""
        return self.place == place() and processes.find(self.pid, self.started / 100) is None


@cache
def place() -> str:
    """Where a pid says who is meant: this boot and namespace. Containers repeat pids, and hosts names."""
    parts = [socket.gethostname(), str(uuid.getnode())]
    with suppress(OSError):
        parts = [socket.gethostname(), Path("/proc/sys/kernel/random/boot_id").read_text()]
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()[:8]


def journals(settings: Settings) -> Path:
    """Where the worker processes of this home keep their journals."""
    return settings.run_directory / "journals"


def take_back(connection: Redis, directory: Path) -> int:
    """Give the jobs of this machine's dead workers to others, with the results that they had not yet sent; how many."""
    taken = 0
    for file in directory.glob(f"*{journal.SUFFIX}") if directory.exists() else ():
        name = WorkerName.read(file.name.removesuffix(journal.SUFFIX))
        if name and name.is_dead_here:
            try:
                taken += _replay(connection, file)
            except OSError as error:  # another user's, perhaps; the lease brings its jobs back
                log.error("a dead worker's journal cannot be read", file=str(file), error=str(error))
    for name in _leased(connection):
        if name.is_dead_here:  # its journal is gone, or another home's
            buried = bury(connection, str(name), Ending.AGAIN)
            taken += buried[0] if buried else 0
    return taken


def _replay(connection: Redis, file: Path) -> int:
    """Send what a dead process had ended, then bury it; safe for several at once."""
    try:
        entries = journal.read(file)
    except FileNotFoundError:
        return 0
    Claims(connection, entries.worker, (), number=uuid.uuid4().int >> 80).tick(entries.ended, 0)
    buried = bury(connection, entries.worker, Ending.BACK, suspects=sorted(entries.begun))
    file.unlink(missing_ok=True)
    given, suspects = buried or (0, 0)
    log.warning("a worker died", worker=entries.worker, given_back=given, it_was_at=suspects)
    return given


def _leased(connection: Redis) -> list[WorkerName]:
    members: Any = connection.zrange(LEASES, 0, -1)
    names = (WorkerName.read(member.decode()) for member in members)
    return [name for name in names if name]


def _started(pid: int) -> int:
    return round(processes.started(pid) * 100)
