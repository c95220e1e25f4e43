"""What the tests of looking in share: an installation, its workers, the command line, the samples of /metrics."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner
from prometheus_client.parser import text_string_to_metric_families

from api import cli, metrics
from ltmc_jobs.queues.contract import JobSpec
from ltmc_jobs.registry import JobKind
from ltmc_jobs.settings import Settings
from ltmc_jobs.shared import Shared
from tests.conftest import clean_environment, setting_variables, wait_until
from tests.fleet import WorkerProcesses
from tests.terminal import screen_of

HOST = socket.gethostname()
WAIT = 40.0


@pytest.fixture
def fleet(settings: Settings, shared: Shared) -> Iterator[WorkerProcesses]:
    processes = WorkerProcesses(settings)
    yield processes
    processes.stop()


class Ltmc:
    """The command line against the test's server, in this process."""

    def __init__(self, settings: Settings) -> None:
        self._given = clean_environment(settings.home, REDIS_URL=settings.redis_address())
        self._env = {name: self._given.get(name) for name in setting_variables()}

    def __call__(self, *words: object, code: int = 0) -> str:
        """What it prints when it is piped; on standard error, if it is to fail."""
        done = CliRunner(env=self._env).invoke(cli.main, [str(word) for word in words], prog_name="ltmc")
        assert done.exit_code == code, done.output + repr(done.exception)
        return done.stderr if code else done.stdout

    def json(self, *words: object, code: int = 0) -> Any:
        """The same as JSON, also of one that ends with another code."""
        done = CliRunner(env=self._env).invoke(cli.main, [str(word) for word in words], prog_name="ltmc")
        assert done.exit_code == code, done.output + repr(done.exception)
        return json.loads(done.stdout)

    def on_terminal(self, *words: object, columns: int = 120) -> str:
        """What it prints where somebody looks: a process of its own."""
        return screen_of([sys.executable, "-m", "api.cli", *map(str, words)], self._given, columns).replace(
            "\r\n", "\n"
        )


@pytest.fixture
def ltmc(settings: Settings, shared: Shared) -> Ltmc:
    return Ltmc(settings)


def put(shared: Shared, kind: JobKind, **args: Any) -> str:
    """Enqueue one job; its id."""
    return shared.queue.enqueue(JobSpec(kind=kind, args=args, project="default")).id


def serving(shared: Shared, count: int = 1) -> None:
    """Wait for so many workers."""
    wait_until(lambda: len(shared.heartbeats.serving()) >= count, WAIT, "workers")


def samples(shared: Shared) -> dict[tuple[str, tuple[str, ...]], float]:
    """Every sample of /metrics, by its name and the values of its labels in the order of their names."""
    text = metrics.render(shared).decode()
    found = [one for family in text_string_to_metric_families(text) for one in family.samples]
    return {(one.name, tuple(value for _, value in sorted(one.labels.items()))): one.value for one in found}
