"""SIGTERM under load: exit code 0, nothing is lost, nothing runs twice, and what takes too long is given to others."""

from __future__ import annotations

import pytest

from tests.chaos.conftest import MakeHost
from tests.chaos.kinds import QUEUES
from tests.chaos.load import Load
from tests.conftest import wait_until


@pytest.mark.chaos
@pytest.mark.parametrize(
    "executors", [("inline", "thread", "asyncio"), pytest.param(("process",), marks=pytest.mark.slow)]
)
def test_workers_stopped_under_load(make_host: MakeHost, load: Load, executors: tuple[str, ...]) -> None:
    hosts = [make_host() for _ in range(2)]
    names = [queue.value for queue in QUEUES]
    slow = executors == ("process",)
    load.add(18 if slow else 400, executors, QUEUES, 0.01)  # type: ignore[arg-type]
    for place, host in enumerate(hosts):
        for _ in range(2):
            host.start(*names, pool=f"p{place}")
        before = len(load.effects.counts("E"))
        wait_until(lambda host=host: len(host.workers(load.shared.redis)) == 2, 20)  # type: ignore[misc]
        last = host is hosts[-1]
        wait_until(lambda before=before: len(load.effects.counts("E")) > before or not load.waiting(), 30)  # type: ignore[misc]
        if last:
            load.wait(60)
        assert host.stop() == [0, 0], host.log.read_text()[-2000:]
    load.check()
    assert set(load.effects.counts("B").values()) == {1}


@pytest.mark.chaos
def test_what_takes_longer_than_a_stop_may_is_given_to_others(make_host: MakeHost, load: Load) -> None:
    """D10."""
    stopping, taking = make_host(LTMC_STOP_SECONDS=1), make_host()
    stopping.start("default", "low")
    load.add(3, ("inline", "thread", "asyncio"), seconds=4)
    wait_until(lambda: len(load.effects.counts("B")) >= 2, 20)
    assert stopping.stop() == [0]
    taking.start("default", "low")
    load.wait(30)
    assert taking.stop() == [0]
    load.check()
    assert set(load.effects.counts("E").values()) == {1}
    assert max(load.effects.counts("B").values()) == 2
