"""RQ's own tools look on, one of them with a clock five minutes ahead, while jobs run: nothing comes of it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ltmc_jobs.queues.contract import JobStatus
from tests.chaos.conftest import MakeHost
from tests.chaos.kinds import EXECUTORS, QUEUES
from tests.chaos.load import Load
from tests.conftest import clean_environment, wait_until
from tests.fleet import ROOT

AHEAD_SECONDS = 300


@contextmanager
def reading(load: Load, shift: float) -> Iterator[subprocess.Popen[bytes]]:
    """`rq info`, which cleans RQ's registries as it looks, ten times a second."""
    command = [sys.executable, "-m", "tests.chaos.wrong_clock", str(shift), "info", "--interval", "0.1", "--raw"]
    settings = load.shared.settings
    process = subprocess.Popen(
        [*command, "--url", settings.redis_address()],
        env=clean_environment(settings.home, PYTHONPATH=ROOT),
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        yield process
        time.sleep(0.1)
        assert process.poll() is None, process.communicate()[1].decode()[-2000:]
    finally:
        process.kill()
        process.communicate()


@pytest.mark.chaos
def test_readers_change_nothing(make_host: MakeHost, load: Load) -> None:
    host = make_host()
    host.start(*(queue.value for queue in QUEUES), fleet=True, processes=2)
    wait_until(lambda: len(host.workers(load.shared.redis)) == 2, 20)
    with reading(load, AHEAD_SECONDS) as ahead, reading(load, 0), reading(load, -AHEAD_SECONDS):
        wait_until(lambda: _clients(load) >= 3, 20, "the readers look")
        load.add(2, ("thread", "asyncio"), QUEUES, 3.0)
        for _ in range(8):
            load.add(100, EXECUTORS[:3], QUEUES, 0.01)
            time.sleep(0.4)
            assert ahead.poll() is None
        (once_more,) = load.add(1, ("inline",), delay_seconds=0.5)
        load.wait(30)
    assert load.shared.queue.status(once_more.id).status == JobStatus.FINISHED
    assert host.stop() == [0]
    load.check()
    assert set(load.effects.counts("B").values()) == {1}


def _clients(load: Load) -> int:
    """Connections of readers: they are not ours, whose last commands are scripts and waits."""
    return sum(
        client["cmd"] in ("scard", "llen", "hgetall", "smembers", "zcard", "exists", "hget")
        for client in load.shared.redis.client_list()
    )
