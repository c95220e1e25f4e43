"""kill -9 of workers and their parent at any moment: nothing is lost, little runs twice, and all goes on at once."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from ltmc_jobs.registry import ExecutorName
from tests.chaos.conftest import MakeHost, number
from tests.chaos.effects import percentile, recoveries
from tests.chaos.hosts import Host
from tests.chaos.kinds import EXECUTORS, QUEUES
from tests.chaos.load import Load
from tests.conftest import wait_until

AT_ONCE = {"inline": 3, "thread": 24, "asyncio": 60, "process": 3}
SECONDS = {"inline": 0.02, "thread": 0.1, "asyncio": 0.2, "process": 0.05}
PROCESSES = 3


@dataclass
class Killer:
    """Keeps a fleet busy, and kills: mostly one of its workers, now and then the parent."""

    host: Host
    load: Load
    executors: Sequence[ExecutorName]
    queues: Sequence[str]
    seed: int = 1
    parent_share: float = 0.1
    pause_seconds: float = 0.2
    moments: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.moments = random.Random(self.seed)
        self._start()

    def _start(self) -> None:
        self.host.start(*self.queues, fleet=True, processes=PROCESSES)

    def feed(self) -> None:
        """So many jobs that nobody is idle."""
        wanted = 8 * sum(AT_ONCE[executor] for executor in self.executors)
        if self.load.shared.redis.llen(f"rq:queue:{self.queues[0]}") < wanted:
            for executor in self.executors:
                self.load.add(2 * wanted, [executor], QUEUES[: len(self.queues)], SECONDS[executor])

    def kill(self, times: int) -> None:
        """So many kills, at random moments."""
        for _ in range(times):
            until = time.monotonic() + self.pause_seconds * self.moments.uniform(0.2, 1.8)
            while (left := until - time.monotonic()) > 0:
                self.feed()
                time.sleep(min(left, 0.1))
            if self.moments.random() < self.parent_share:
                (parent,) = self.host.processes
                self.host.kill(parent.pid)
                parent.wait()
                self.host.processes.clear()
                self._start()
                continue
            pids = wait_until(lambda: self.host.workers(self.load.shared.redis), 20, "a worker")
            self.host.kill(self.moments.choice(pids))

    def report(self) -> str:
        """What came of it, in a line."""
        kills = len(self.host.deaths)
        again = recoveries(self.load.effects.all(), self.host.deaths)
        return (
            f"{'+'.join(self.executors)} over {len(self.queues)} queues: {kills} kills, {len(self.load.specs)} jobs, "
            f"ended twice {self.load.effects.ended_again()} ({self.load.effects.ended_again() / kills:.3f} a kill), "
            f"ran again {len(again)} after p50 {percentile(again, 0.5):.3f} p99 {percentile(again, 0.99):.3f} "
            f"max {percentile(again, 1.0):.3f} s"
        )


def _kill(killer: Killer, times: int) -> None:
    host, load = killer.host, killer.load
    wait_until(lambda: len(host.workers(load.shared.redis)) == PROCESSES, 20, "the fleet works")
    killer.kill(times)
    load.wait(60 + times / 10)
    print(killer.report())  # noqa: T201
    load.check_effects(times)
    host.stop()
    load.check()


def _killer(host: Host, load: Load, executors: Sequence[ExecutorName], queues: int, **more: Any) -> Killer:
    return Killer(host, load, executors, [queue.value for queue in QUEUES[:queues]], **more)


@pytest.mark.chaos
@pytest.mark.parametrize(("executors", "queues"), [(["inline"], 3), (["thread", "asyncio"], 1)])
def test_workers_killed_at_any_moment_lose_nothing(
    make_host: MakeHost, load: Load, executors: list[ExecutorName], queues: int
) -> None:
    _kill(_killer(make_host(), load, executors, queues), 8)


@pytest.mark.slow
@pytest.mark.chaos
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("queues", [1, 3])
@pytest.mark.parametrize("executor", EXECUTORS)
def test_many_kills(make_host: MakeHost, load: Load, executor: ExecutorName, queues: int) -> None:
    """CHAOS_KILLS in all (2000), one each CHAOS_PAUSE seconds (0.2), CHAOS_SEED."""
    pause, seed = number("CHAOS_PAUSE", 0.2), int(number("CHAOS_SEED", 1))
    killer = _killer(make_host(), load, [executor], queues, seed=seed, pause_seconds=pause)
    _kill(killer, int(number("CHAOS_KILLS", 2000) / 8))


@pytest.mark.slow
@pytest.mark.chaos
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("executor", EXECUTORS)
def test_what_a_killed_process_held_runs_again_at_once(make_host: MakeHost, load: Load, executor: ExecutorName) -> None:
    """CHAOS_RECOVERIES (100) of kills, each when all is well again; CHAOS_P99 seconds (1).

    Of asyncio a process holds 200, all of them suspects; they run 24 at a time, each in a process of its own.
    """
    times = int(number("CHAOS_RECOVERIES", 100) / 4)
    killer = _killer(make_host(), load, [executor], 1, parent_share=0.0, pause_seconds=3.0)
    _kill(killer, times)
    again = recoveries(load.effects.all(), killer.host.deaths)
    assert again
    assert percentile(again, 0.99) <= number("CHAOS_P99", 2.0 if executor == "asyncio" else 1.0), killer.report()
