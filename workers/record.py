"""What a running platform writes down about itself, for `stop`, `status` and whoever starts after a crash."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil

from ltmc_jobs.private_files import write_private
from ltmc_jobs.settings import Settings
from workers import processes


@dataclass
class Process:
    """A process, told from a later one with the same pid by when it started."""

    pid: int
    started: float

    @classmethod
    def of(cls, pid: int) -> Process:
        """The process that has this pid now."""
        with suppress(psutil.Error):
            return cls(pid, processes.started(pid))
        return cls(pid, 0.0)

    def find(self) -> psutil.Process | None:
        """It, if it still runs."""
        return processes.find(self.pid, self.started)


@dataclass
class Record:
    """The supervisor, where the platform is found, whether it came up, and the children."""

    supervisor: Process
    url: str
    redis: str
    ready: bool = False
    children: dict[str, Process] = field(default_factory=dict)

    def save(self, settings: Settings) -> None:
        """Write it where the next command looks."""
        write_private(record_file(settings), json.dumps(asdict(self), indent=1))

    @classmethod
    def load(cls, settings: Settings) -> Record | None:
        """What was last written, whoever of it still lives."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            saved = json.loads(record_file(settings).read_text())
            children = {name: Process(**child) for name, child in saved.pop("children").items()}
            return cls(supervisor=Process(**saved.pop("supervisor")), children=children, **saved)
        return None


def record_file(settings: Settings) -> Path:
    """Where the record is."""
    return settings.run_directory / "platform.json"
