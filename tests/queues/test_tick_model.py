"""The queue's scripts against a model in Python: random interleavings, each command perhaps sent twice."""

from __future__ import annotations

import pytest
import redis
from hypothesis import HealthCheck, Phase
from hypothesis import settings as options
from hypothesis.stateful import run_state_machine_as_test

from ltmc_jobs.queues.envelope import Keyring
from ltmc_jobs.settings import Settings
from tests.queues.tick_machine import CHANNEL, TickModel


def _try(redis_url: str, settings_: Settings, examples: int, steps: int) -> None:
    settings_.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    Keyring.make(settings_)
    with redis.Redis.from_url(redis_url) as connection, connection.pubsub(ignore_subscribe_messages=True) as ear:
        ear.subscribe(CHANNEL)
        ear.get_message(timeout=5)
        parts = {"connection": connection, "keyring": Keyring.load(settings_), "ear": ear}
        machine = type("Machine", (TickModel,), parts)
        run_state_machine_as_test(
            machine,
            settings=options(
                max_examples=examples,
                stateful_step_count=steps,
                deadline=None,
                suppress_health_check=list(HealthCheck),
                database=None,
                phases=[Phase.generate],  # what is found is short enough to be read
                report_multiple_bugs=False,
            ),
        )
        connection.flushall()


def test_random_interleavings_agree_with_the_model(redis_url: str, settings: Settings) -> None:
    """J02, J03, J11: no job is lost, held by two, or ended twice, whatever is sent twice."""
    _try(redis_url, settings, examples=25, steps=40)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_many_interleavings_agree_with_the_model(redis_url: str, settings: Settings) -> None:
    """J02, J03, J11: the same for minutes."""
    _try(redis_url, settings, examples=600, steps=80)
