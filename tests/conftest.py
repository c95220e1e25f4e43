"""What every test may use: a private server, settings of its own, free ports, waiting without blind sleeps."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from pydantic import AliasChoices

from ltmc_jobs.settings import Settings
from ltmc_jobs.shared import Shared
from tests.bolt import neo4j_server
from tests.leaks import leaked
from tests.waiting import free_port, wait_until
from workers.server import EmbeddedServer

MakeSettings = Callable[..., Settings]
__all__ = ["free_port", "neo4j_server", "wait_until"]


def setting_variables() -> set[str]:
    """Every environment variable that Settings reads."""
    names: set[str] = set()
    for name, field in Settings.model_fields.items():
        alias = field.validation_alias
        choices = alias.choices if isinstance(alias, AliasChoices) else [alias or name]
        names.update(str(choice) for choice in choices)
    return names


def clean_environment(home: Path, **variables: object) -> dict[str, str]:
    """This process's environment without any setting of the user's, plus a home and the variables given."""
    ignored = setting_variables()
    kept = {name: value for name, value in os.environ.items() if name not in ignored}
    return kept | {"LTMC_HOME": str(home)} | {name: str(value) for name, value in variables.items()}


def build_settings(home: Path, **variables: object) -> Settings:
    """Settings as a process would load them from `clean_environment`."""
    with pytest.MonkeyPatch.context() as patch:
        for name in setting_variables():
            patch.delenv(name, raising=False)
        for name, value in clean_environment(home, **variables).items():
            patch.setenv(name, value)
        return Settings.load()


@pytest.fixture(name="free_port")
def _free_port() -> Callable[[], int]:
    return free_port


@pytest.fixture(name="wait_until")
def _wait_until() -> Callable[..., Any]:
    return wait_until


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """A private server for the whole run, on a free port."""
    settings = build_settings(tmp_path_factory.mktemp("server"), REDIS_PORT=free_port())
    with EmbeddedServer(settings) as server:
        yield server


@pytest.fixture
def redis_url(redis_server: EmbeddedServer) -> Iterator[str]:
    """The private server's address, with credentials; empty at the start of every test, no key leaked at its end."""
    address = redis_server.settings.redis_address()
    with redis.Redis.from_url(address) as client:
        client.flushall()
        yield address
        assert leaked(client) == []


@pytest.fixture
def make_settings(tmp_path: Path) -> MakeSettings:
    """`make_settings(REDIS_URL=…, …)`: settings from these variables alone, with a home of the test's own."""

    def make(**variables: object) -> Settings:
        return build_settings(Path(str(variables.pop("LTMC_HOME", tmp_path / "home"))), **variables)

    return make


@pytest.fixture
def settings(make_settings: MakeSettings, redis_url: str) -> Settings:
    """Settings with a home of the test's own and the private, empty server."""
    return make_settings(REDIS_URL=redis_url)


@pytest.fixture
def shared(settings: Settings) -> Iterator[Shared]:
    """The client's side of an installation of the test's own."""
    from tests.fleet import open_installation  # it needs this module

    opened = open_installation(settings)
    yield opened
    opened.close()
