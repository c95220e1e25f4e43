"""The queue's scripts against a model in Python: random interleavings, each command perhaps sent twice."""

from __future__ import annotations

import pytest

from ltmc_jobs.settings import Settings
from tests.queues.tick_machine import TickModel
from tests.queues.trial import try_machine


def test_random_interleavings_agree_with_the_model(redis_url: str, settings: Settings) -> None:
    """J02, J03, J11: no job is lost, held by two, or ended twice, whatever is sent twice."""
    try_machine(TickModel, redis_url, settings, examples=25, steps=40)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_many_interleavings_agree_with_the_model(redis_url: str, settings: Settings) -> None:
    """J02, J03, J11: the same for minutes."""
    try_machine(TickModel, redis_url, settings, examples=600, steps=80)
