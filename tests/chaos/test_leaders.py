"""Whoever leads is killed: another one leads, and what is due runs within the time of a leadership and a renewal."""

from __future__ import annotations

import time

import pytest

from tests.chaos.conftest import MakeHost
from tests.chaos.load import Load
from tests.conftest import wait_until
from workers.recovery import WorkerName

TAKEOVER_SECONDS = 9.0


@pytest.mark.chaos
def test_due_jobs_run_though_the_leader_dies(make_host: MakeHost, load: Load) -> None:
    host = make_host()
    for place in range(3):
        host.start("default", pool=f"p{place}")
    wait_until(lambda: len(host.workers(load.shared.redis)) == 3 and _leader(load), 20)
    leader = _leader(load)
    load.add(20, seconds=0.01, delay_seconds=0.5)
    host.kill(leader)
    due = time.monotonic() + 0.5
    load.wait(20)
    late = time.monotonic() - due
    print(f"a killed leader's due jobs ran {late:.1f} s late")  # noqa: T201
    assert late < TAKEOVER_SECONDS
    assert _leader(load) != leader
    host.processes = [process for process in host.processes if process.poll() is None]
    assert host.stop() == [0, 0]
    load.check()
    assert set(load.effects.counts("B").values()) == {1}


def _leader(load: Load) -> int:
    """The pid of the process that leads; 0 for none."""
    told = load.shared.redis.get("ltmc:1:_:leader")
    name = WorkerName.read(told.decode()) if isinstance(told, bytes) else None
    return name.pid if name else 0
