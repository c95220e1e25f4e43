"""Schedules under random interleavings: who leads changes, commands arrive late and twice, schedules move and go."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from redis import Redis

from ltmc_jobs import keys as names
from ltmc_jobs.queues.contract import JobSpec
from ltmc_jobs.queues.envelope import Keyring
from ltmc_jobs.queues.for_rq.scheduler import Scheduler
from ltmc_jobs.queues.schedules.clockwork import DUE, FIRE, PAGE, Clockwork, Entry
from ltmc_jobs.queues.schedules.schedule import ENTRIES, Misfire
from tests import queue_kinds as kinds

KEYS = Keyring([b"k" * 32])
LEADER = names.key(names.INSTALLATION, "leader")
EVERY = 1000
TICKS = 40
CANDIDATES = st.sampled_from(["a", "b", "c"])


class Racing(RuleBasedStateMachine):
    """Three candidates over one schedule with many due ticks: read, then send, perhaps late, perhaps twice."""

    connection: Redis

    def __init__(self) -> None:
        super().__init__()
        self.connection.flushall()
        self.scheduler = Scheduler(connection=self.connection, keys=KEYS)
        self.clockwork = Clockwork(self.connection, KEYS)
        self.commands: list[list[Any]] = []
        self.connection.set(LEADER, "a")
        self.leader = "a"
        spec = JobSpec(kind=kinds.ECHO, args={}, project="default", id="ticks")
        self.scheduler.declare(spec, interval_seconds=EVERY, misfire=Misfire.ALL)
        seconds: Any = self.connection.time()
        self.first = int(seconds[0]) - EVERY * TICKS
        self.scheduler.change_execution_time("ticks", datetime.fromtimestamp(self.first, UTC))

    @rule(who=CANDIDATES)
    def lead(self, who: str) -> None:
        """Another one leads; those before it may still believe that they do."""
        self.connection.set(LEADER, who)
        self.leader = who

    @rule(who=CANDIDATES)
    def read(self, who: str) -> None:
        """A candidate reads what is due and makes up its command."""
        state, *found = DUE.run(self.connection, [who, PAGE])
        assert (state == b"due") == (who == self.leader)
        for row in found[2:]:
            self.commands.append(self.clockwork._prepare(who, Entry.of(row), float(found[0])).command)

    @precondition(lambda self: self.commands)
    @rule(which=st.integers(0, 1000))
    def send(self, which: int) -> None:
        """Any command that was ever made up arrives (again)."""
        command = self.commands[which % len(self.commands)]
        before = len(self.runs())
        answer = FIRE.run(self.connection, command)
        assert answer in (b"fired", b"moved", b"fenced")
        if command[0] != self.leader:
            assert answer == b"fenced"
        assert len(self.runs()) - before == (answer == b"fired")

    @rule()
    def declare_again(self) -> None:
        """The same declaration changes nothing."""
        before = self.connection.zscore(ENTRIES, "ticks")
        spec = JobSpec(kind=kinds.ECHO, args={}, project="default", id="ticks")
        self.scheduler.declare(spec, interval_seconds=EVERY, misfire=Misfire.ALL)
        assert self.connection.zscore(ENTRIES, "ticks") == before

    @invariant()
    def each_tick_ran_once_and_in_order(self) -> None:
        found = self.runs()
        assert found == [self.first + EVERY * number for number in range(len(found))]
        assert self.connection.zscore(ENTRIES, "ticks") == self.first + EVERY * len(found)

    def runs(self) -> list[int]:
        queued: Any = self.connection.lrange("rq:queue:default", 0, -1)
        return [int(name.rpartition(b"-")[2]) for name in queued]


@pytest.mark.timeout(300)
def test_whatever_the_order_each_tick_runs_once(redis_url: str) -> None:
    with Redis.from_url(redis_url) as connection:
        machine = type("Machine", (Racing,), {"connection": connection})
        checks = settings(
            max_examples=150,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        run_state_machine_as_test(machine, settings=checks)
        connection.flushall()
