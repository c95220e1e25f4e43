"""An installation on the tests' own server, and worker processes of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ltmc_jobs.settings import Settings
from ltmc_jobs.shared import Shared
from tests.fleet import WorkerProcesses


@pytest.fixture
def fleet(settings: Settings, shared: Shared) -> Iterator[WorkerProcesses]:
    """None is running yet; each ends in peace."""
    processes = WorkerProcesses(settings)
    yield processes
    assert set(processes.stop()) <= {0}
