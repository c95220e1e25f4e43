"""Answers of Redis are lost after it executed the command: nothing is queued, run or counted twice, or stays held."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from ltmc_jobs.errors import QueueUnavailable
from ltmc_jobs.queues.contract import JobRef, JobSpec
from ltmc_jobs.settings import Settings
from ltmc_jobs.shared import Shared
from tests.chaos.conftest import MakeHost, number
from tests.chaos.kinds import EXECUTORS, QUEUES
from tests.chaos.load import Load
from tests.chaos.proxy import Proxy
from tests.conftest import MakeSettings

Cut = Callable[[int], bool]


def every(count: int) -> Cut:
    """Each so many-th answer."""
    return lambda answer: answer % count == 0


def sometimes(share: float) -> Cut:
    """Such a share of them, by chance."""
    chance = random.Random(1)
    return lambda _answer: chance.random() < share


def bursts(length: int, pause: int) -> Cut:
    """So many one after the other, more than the client tries again by itself."""
    return lambda answer: answer % (length + pause) >= pause


@dataclass
class Insisting:
    """A client that asks for the same jobs again until it hears that they were taken."""

    shared: Shared
    unheard: int = 0

    def enqueue(self, specs: list[JobSpec]) -> list[JobRef]:
        first = self.unheard
        while True:
            try:
                refs = self.shared.queue.enqueue_many(specs)
            except QueueUnavailable:
                self.unheard += 1
                continue
            # What the connection sent again by itself is the same command; what the caller asks again is another.
            assert all(ref.created for ref in refs) or self.unheard > first
            return refs


def _lose(
    load: Load, make_host: MakeHost, make_settings: MakeSettings, cut: Cut, count: int, executors: tuple[Any, ...]
) -> None:
    with Proxy(load.shared.settings.redis_address(), cut) as proxy:
        settings: Settings = make_settings(REDIS_URL=proxy.address)
        client = Insisting(Shared.open(settings))
        host = make_host(address=proxy.address)
        for pool in ("one", "two"):
            host.start(*(queue.value for queue in QUEUES), pool=pool)
        specs = load.specs_of(count, executors, QUEUES, 0.003)
        load.specs = specs
        moments = random.Random(1)
        while specs:
            some, specs = specs[: (size := moments.choice((1, 1, 1, 7)))], specs[size:]
            client.enqueue(some)
        load.wait(60 + count / 50)
        assert host.stop() == [0, 0]
        client.shared.close()
        assert proxy.lost > count / 20
        print(f"{proxy.lost} of {proxy.answers} answers lost, {client.unheard} calls sent again")  # noqa: T201
    load.check()
    assert set(load.effects.counts("B").values()) == {1}
    assert set(load.effects.counts("E").values()) == {1}
    assert _counted(load.shared, "ltmc_jobs_total") == count
    assert _succeeded(load.shared) == count


def _counted(shared: Shared, name: str) -> float:
    return sum(float(value) for value in shared.redis.hgetall(f"ltmc:1:_:metrics:{name}").values())  # type: ignore[union-attr]


def _succeeded(shared: Shared) -> int:
    keys = list(shared.redis.scan_iter("rq:worker:*"))
    return sum(int(shared.redis.hget(key, "successful_job_count") or 0) for key in keys)  # type: ignore[arg-type]


@pytest.mark.chaos
@pytest.mark.parametrize("cut", [every(6), bursts(7, 60)], ids=["every-6th", "bursts"])
def test_lost_answers_change_nothing(load: Load, make_host: MakeHost, make_settings: MakeSettings, cut: Cut) -> None:
    _lose(load, make_host, make_settings, cut, 150, ("inline", "thread"))


@pytest.mark.slow
@pytest.mark.chaos
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize(
    "cut",
    [sometimes(0.1), sometimes(0.25), every(7), bursts(5, 40), bursts(9, 90)],
    ids=["a-tenth", "a-quarter", "every-7th", "short-bursts", "long-bursts"],
)
def test_many_lost_answers(
    load: Load, make_host: MakeHost, make_settings: MakeSettings, cut: Cut, executor: str
) -> None:
    """CHAOS_JOBS each (2000)."""
    _lose(load, make_host, make_settings, cut, int(number("CHAOS_JOBS", 2000)), (executor,))
