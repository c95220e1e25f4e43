"""An idle worker takes all that its executors can run, whichever they are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ltmc_jobs.settings import Settings
from ltmc_jobs.shared import Shared
from tests.chaos.hosts import Host
from tests.chaos.load import Load
from tests.conftest import wait_until
from tests.fleet import open_installation


@pytest.fixture
def shared(settings: Settings) -> Iterator[Shared]:
    opened = open_installation(settings)
    yield opened
    opened.close()


def test_jobs_that_wait_begin_together(shared: Shared, settings: Settings, tmp_path: Path) -> None:
    """It cannot know before the first ones whose they are."""
    host = Host(settings.home, settings.redis_address())
    load = Load(shared, tmp_path / "effects")
    host.start("default")
    try:
        wait_until(lambda: host.workers(shared.redis), 20)
        load.add(8, ("thread",), seconds=2.0)
        load.wait(20)
        begun = [effect.seconds for effect in load.effects.all() if effect.event == "B"]
        assert len(begun) == 8
        assert max(begun) - min(begun) < 0.3
    finally:
        host.stop()
