"""A worker that sleeps past its lease, and hosts that die whole: their jobs run elsewhere, once, within 15 seconds."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path

import pytest

from tests.chaos.conftest import MakeHost
from tests.chaos.effects import recoveries
from tests.chaos.hosts import LEASES
from tests.chaos.kinds import QUEUES
from tests.chaos.load import Load
from tests.conftest import wait_until

HOST_SECONDS = 15.0


@pytest.mark.chaos
def test_what_a_sleeper_ends_too_late_is_refused(make_host: MakeHost, load: Load) -> None:
    """SIGSTOP for longer than the lease, then SIGCONT."""
    sleeping, awake = make_host(name="a"), make_host(name="b")
    sleeper = sleeping.start("default")
    load.add(4, ("thread",), seconds=6.0)
    wait_until(lambda: len(load.effects.counts("B")) >= 2, 20)
    os.kill(sleeper.pid, signal.SIGSTOP)
    stopped = time.monotonic()
    at = set(load.effects.counts("B")) - set(load.effects.counts("E"))
    awake.start("default")
    wait_until(lambda: len(load.effects.counts("E")) == 4, 25, "they run elsewhere")
    assert time.monotonic() - stopped > 8, "not while its lease lasts"
    load.wait(5)
    os.kill(sleeper.pid, signal.SIGCONT)
    wait_until(lambda: load.effects.ended_again() == len(at), 15, "the sleeper ends them too")
    wait_until(lambda: "ended too late" in sleeping.log.read_text(), 10, "it is told")
    begun = load.effects.counts("B")
    assert {job_id for job_id, count in begun.items() if count == 2} == at
    assert max(begun.values()) == 2
    (after,) = load.add(1)
    load.wait(10)
    assert after.id in load.effects.counts("E")
    assert sleeping.stop() == awake.stop() == [0]
    load.check()


@pytest.mark.chaos
def test_the_jobs_of_a_host_that_died_run_elsewhere(make_host: MakeHost, load: Load, tmp_path: Path) -> None:
    home = tmp_path / "elsewhere"
    home.mkdir(mode=0o700)
    for name in ("installation", "signing.key"):
        shutil.copy2(load.shared.settings.home / name, home / name)
    dying, living = make_host(name="a"), make_host(home=home, name="b")
    names = [queue.value for queue in QUEUES]
    dying.start(*names, fleet=True, processes=3)
    wait_until(lambda: len(dying.workers(load.shared.redis)) == 3, 20)
    load.add(24, ("thread", "asyncio"), QUEUES, 2.0)
    wait_until(lambda: len(load.effects.counts("B")) > 12, 20)
    living.start(*names)
    wait_until(lambda: load.shared.redis.zcard(LEASES) == 4, 20)
    dying.kill_all()
    load.wait(60)
    again = recoveries(load.effects.all(), dying.deaths)
    assert again
    assert again[0] > 5, "a lease is believed as long as it lasts"
    assert living.stop() == [0]
    load.check()
    print(f"{len(again)} jobs of the dead host ran again after {again[0]:.1f} to {again[-1]:.1f} s")  # noqa: T201
    assert again[-1] <= HOST_SECONDS
