"""What the tests that break things share: a server of their own, hosts, counted jobs, how much to break."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ltmc_jobs.shared import Shared
from tests.chaos.hosts import Host
from tests.chaos.load import Load
from tests.conftest import MakeSettings
from tests.fleet import open_installation
from workers.server import EmbeddedServer

MakeHost = Callable[..., Host]


def number(name: str, otherwise: float) -> float:
    """A parameter of a long run, from the environment: CHAOS_KILLS, CHAOS_SEED, …"""
    return float(os.environ.get(name, otherwise))


@pytest.fixture
def server(make_settings: MakeSettings, free_port: Callable[[], int], tmp_path: Path) -> Iterator[EmbeddedServer]:
    """A server that the test may kill."""
    made = EmbeddedServer(make_settings(REDIS_PORT=free_port(), LTMC_HOME=tmp_path / "server"))
    with made:
        yield made


@pytest.fixture
def shared(server: EmbeddedServer, make_settings: MakeSettings) -> Iterator[Shared]:
    """The client's side of an installation on that server."""
    opened = open_installation(make_settings(REDIS_URL=server.settings.redis_address()))
    yield opened
    opened.close()


@pytest.fixture
def make_host(shared: Shared) -> Iterator[MakeHost]:
    """`make_host(name=…, LTMC_…=…)`: a host of this installation, all ended when the test is."""
    hosts: list[Host] = []

    def make(home: Path | None = None, address: str = "", name: str = "", **environment: object) -> Host:
        made = Host(home or shared.settings.home, address or shared.settings.redis_address(), name=name, **environment)
        hosts.append(made)
        return made

    yield make
    for host in hosts:
        host.kill_all()


@pytest.fixture
def load(shared: Shared, tmp_path: Path) -> Load:
    """Counted jobs."""
    return Load(shared, tmp_path / "effects")
