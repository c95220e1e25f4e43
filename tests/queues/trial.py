"""Try a state machine against a server."""

from __future__ import annotations

import redis
from hypothesis import HealthCheck, Phase
from hypothesis import settings as options
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from ltmc_jobs.queues.envelope import Keyring
from ltmc_jobs.settings import Settings


def try_machine(
    machine: type[RuleBasedStateMachine], redis_url: str, settings: Settings, *, examples: int, steps: int
) -> None:
    """So many examples of so many steps; the machine has `connection` and `keyring`."""
    settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    Keyring.make(settings)
    with redis.Redis.from_url(redis_url) as connection:

        def teardown(self: RuleBasedStateMachine) -> None:
            try:
                machine.teardown(self)
            finally:
                connection.connection_pool.disconnect()  # a worker keeps one at hand, as long as it lives
                connection.connection_pool.reset()

        own = {"connection": connection, "keyring": Keyring.load(settings), "teardown": teardown}
        run_state_machine_as_test(
            type("Machine", (machine,), own),
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
