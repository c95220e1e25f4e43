"""An installation of the test's own, and worker processes that know its kinds."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from ltmc_jobs.queues.queue import JobQueue
from ltmc_jobs.settings import Settings
from ltmc_jobs.shared import Shared
from tests.fleet import WorkerProcesses

ASSERTING = ("tick_machine", "limits_machine", "model", "picture")
pytest.register_assert_rewrite(*[f"tests.queues.{name}" for name in ASSERTING])


class Fleet(WorkerProcesses):
    """Worker processes that know the kinds of these tests."""

    def start(self, *queues: str, pool: str = "tests", module: str = "tests.queues.worker") -> subprocess.Popen[bytes]:
        return super().start(*queues, pool=pool, module=module)


@pytest.fixture
def jobs(shared: Shared) -> JobQueue:
    """The queue."""
    return shared.queue


@pytest.fixture
def fleet(settings: Settings, shared: Shared) -> Iterator[Fleet]:
    """Worker processes, stopped at the end."""
    processes = Fleet(settings)
    yield processes
    processes.stop()
