"""A home of any length: the two ends of the dashboard's socket meet, and nobody else stands there."""

from __future__ import annotations

import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.dashboard_socket import dashboard_socket
from ltmc_jobs.errors import Misconfigured
from tests.conftest import MakeSettings


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/tmp") as made:  # pytest's own may be too long
        monkeypatch.setattr(tempfile, "tempdir", made)
        yield Path(made)


def test_a_short_home_holds_its_socket(make_settings: MakeSettings) -> None:
    settings = make_settings(LTMC_HOME="/srv/ltmc")
    assert dashboard_socket(settings) == Path("/srv/ltmc/run/dashboard.sock")


def test_a_long_home_has_a_private_directory_elsewhere(make_settings: MakeSettings, temporary: Path) -> None:
    """One that can be bound, and another for another home."""
    places = [dashboard_socket(make_settings(LTMC_HOME=f"/srv/{letter * 200}")) for letter in "aab"]
    assert places[0] == places[1] != places[2]
    assert stat.S_IMODE(places[0].parent.stat().st_mode) == 0o700
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(places[0]))
    assert places[0].is_relative_to(temporary)


def test_a_directory_that_others_may_enter_is_refused(make_settings: MakeSettings, temporary: Path) -> None:
    settings = make_settings(LTMC_HOME="/srv/" + "c" * 200)
    directory = dashboard_socket(settings).parent
    directory.chmod(0o755)
    with pytest.raises(Misconfigured, match="LTMC_HOME"):
        dashboard_socket(settings)
    directory.rmdir()
    directory.symlink_to(temporary)
    with pytest.raises(Misconfigured, match="LTMC_HOME"):
        dashboard_socket(settings)
