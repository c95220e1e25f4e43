"""A worker that sleeps past its lease, and hosts that die whole: their jobs run elsewhere, once, within 15 seconds."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest

from tests.chaos.conftest import MakeHost
from tests.chaos.effects import Effect, Effects, recoveries
from tests.chaos.hosts import LEASES
from tests.chaos.kinds import QUEUES
from tests.chaos.load import Load
from tests.conftest import wait_until

HOST_SECONDS = 15.0


@pytest.mark.chaos
def test_the_jobs_of_hosts_that_died_or_slept_run_elsewhere(make_host: MakeHost, load: Load, tmp_path: Path) -> None:
    """One host loses its power, a worker of another sleeps (SIGSTOP) for longer than its lease; a third goes on."""
    home = tmp_path / "elsewhere"
    home.mkdir(mode=0o700)
    for name in ("installation", "signing.key"):
        shutil.copy2(load.shared.settings.home / name, home / name)
    dying, sleeping, living = (
        make_host(name="a"),
        make_host(name="b"),
        make_host(home=home, name="c", LTMC_THREAD_SLOTS=32),
    )
    names = [queue.value for queue in QUEUES]
    dying.start(*names, fleet=True, processes=2)
    sleeper = sleeping.start(*names, pool="sleeper")
    wait_until(lambda: load.shared.redis.zcard(LEASES) == 3, 20)
    load.add(24, ("thread", "asyncio"), QUEUES, 4.0)
    wait_until(lambda: len(load.effects.counts("B")) == 24, 20)
    living.start(*names)
    wait_until(lambda: load.shared.redis.zcard(LEASES) == 4, 20)

    dying.kill_all()
    sleeping.kill(sleeper.pid, signal.SIGSTOP)
    both = [*dying.deaths, *sleeping.deaths]
    slept = {effect.job_id for effect in _unended(load.effects) if effect.pid == sleeper.pid}
    load.wait(40)
    again = recoveries(load.effects.all(), both)
    print(f"{len(again)} jobs ran again after {again[0]:.1f} to {again[-1]:.1f} s")  # noqa: T201
    assert again[0] > 5, "a lease is believed as long as it lasts"
    assert again[-1] <= HOST_SECONDS

    os.kill(sleeper.pid, signal.SIGCONT)
    wait_until(lambda: load.effects.ended_again() == len(slept), 15, "the sleeper ends them too")
    wait_until(lambda: not slept or "ended too late" in sleeping.log.read_text(), 10, "it is told")
    assert max(load.effects.counts("B").values()) == 2
    (after,) = load.add(1)
    load.wait(10)
    assert after.id in load.effects.counts("E")
    assert sleeping.stop() == living.stop() == [0]
    load.check()


def _unended(effects: Effects) -> list[Effect]:
    ended = effects.counts("E")
    return [effect for effect in effects.all() if not ended[effect.job_id]]
