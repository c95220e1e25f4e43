"""Redis dies, comes back with less than it had, or takes no writes: acknowledged jobs are kept, and no worker ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ltmc_jobs.errors import JobTimeout, QueueUnavailable
from ltmc_jobs.queues.contract import JobSpec, JobStatus
from ltmc_jobs.shared import Shared
from tests.chaos.conftest import MakeHost, number
from tests.chaos.hosts import Host
from tests.chaos.kinds import EXECUTORS, LASTING, QUEUES
from tests.chaos.load import Load
from tests.chaos.mortal_server import MortalServer
from tests.conftest import wait_until
from workers.server import EmbeddedServer

NAMES = [queue.value for queue in QUEUES]


@pytest.fixture
def mortal(server: EmbeddedServer) -> MortalServer:
    return MortalServer(server)


@contextmanager
def producing(load: Load, seconds: float = 0.02) -> Iterator[None]:
    """Meanwhile another thread enqueues, one job after the other; only what was acknowledged is counted."""
    done = threading.Event()
    shared = Shared.open(load.shared.settings)

    def produce() -> None:
        while not done.wait(0.005):
            (spec,) = load.specs_of(1, (EXECUTORS[len(load.specs) % 3],), QUEUES, seconds)
            try:
                shared.queue.enqueue(spec)
            except QueueUnavailable:
                continue
            load.specs.append(spec)

    thread = threading.Thread(target=produce)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        shared.close()


def _start(host: Host, load: Load, workers: int = 2) -> list[int]:
    for place in range(workers):
        host.start(*NAMES, pool=f"chaos{place}")
    wait_until(lambda: len(host.workers(load.shared.redis)) == workers, 20)
    return [process.pid for process in host.processes]


def _all_live(host: Host) -> bool:
    return all(process.poll() is None for process in host.processes)


def _outlive(host: Host, load: Load, mortal: MortalServer, pauses: list[float]) -> None:
    mortal.sync_always()
    _start(host, load)
    with producing(load):
        for pause in pauses:
            before = len(load.specs)
            wait_until(lambda before=before: len(load.specs) > before + 60, 30, "jobs are taken")  # type: ignore[misc]
            mortal.kill()
            mortal.tear()
            mortal.restart(pause)
    load.wait(60)
    assert _all_live(host)
    load.check_effects(len(pauses) * 10)
    assert host.stop() == [0, 0]
    load.check()


@pytest.mark.chaos
def test_a_killed_server_loses_nothing_that_it_acknowledged(
    make_host: MakeHost, load: Load, mortal: MortalServer
) -> None:
    _outlive(make_host(), load, mortal, [0.3, 4.0])


@pytest.mark.slow
@pytest.mark.chaos
@pytest.mark.timeout(3600)
def test_a_server_killed_again_and_again(make_host: MakeHost, load: Load, mortal: MortalServer) -> None:
    """CHAOS_ROUNDS (20) of a short and a long absence; one is longer than anything of a worker lives."""
    rounds = int(number("CHAOS_ROUNDS", 20))
    _outlive(make_host(), load, mortal, [0.3, 20.0] * rounds + [130.0])


def _cut(host: Host, load: Load, mortal: MortalServer, times: int) -> None:
    """Jobs are confirmed as on the disk, workers are at them, and the server forgets the last moments of it all."""
    _start(host, load)
    for _ in range(times):
        specs = load.specs_of(300, EXECUTORS[:3], QUEUES, 0.01)
        refs = load.shared.queue.enqueue_many(specs, durable=True)
        assert all(ref.durable for ref in refs)
        load.specs += specs
        done = 100 + load.states()["finished"]
        wait_until(lambda done=done: load.states()["finished"] > done, 30)  # type: ignore[misc]
        size = mortal.file.stat().st_size
        time.sleep(0.2)
        mortal.kill()
        mortal.cut_to(size)
        mortal.restart(0.3)
        load.wait(40)
    assert _all_live(host)
    assert host.stop() == [0, 0]
    load.check()


@pytest.mark.chaos
def test_a_server_that_forgot_its_last_moments_still_ends_every_confirmed_job(
    make_host: MakeHost, load: Load, mortal: MortalServer
) -> None:
    _cut(make_host(), load, mortal, 2)


@pytest.mark.slow
@pytest.mark.chaos
@pytest.mark.timeout(3600)
def test_a_server_that_forgets_again_and_again(make_host: MakeHost, load: Load, mortal: MortalServer) -> None:
    """CHAOS_ROUNDS (20)."""
    _cut(make_host(), load, mortal, int(number("CHAOS_ROUNDS", 20)))


@pytest.mark.chaos
def test_a_time_limit_holds_while_the_server_is_away(make_host: MakeHost, load: Load, mortal: MortalServer) -> None:
    """And the end is told when it is back."""
    host = make_host()
    _start(host, load, workers=1)
    (ref,) = load.shared.queue.enqueue_many(
        [JobSpec(kind=LASTING, args={"file": str(load.effects.file)}, project="default")]
    )
    wait_until(lambda: load.effects.counts("B"), 20)
    mortal.kill()
    wait_until(lambda: load.effects.counts("E"), 8, "the job was stopped")
    mortal.restart()
    with pytest.raises(JobTimeout):
        load.shared.queue.outcome(ref.id, 20).unwrap()
    assert host.stop() == [0]


@pytest.mark.chaos
def test_a_server_that_takes_no_writes_stops_nobody(make_host: MakeHost, load: Load, mortal: MortalServer) -> None:
    host = make_host()
    _start(host, load)
    load.add(200, EXECUTORS[:3], QUEUES, 0.02)
    load.add(2, ("inline", "thread"), QUEUES[:1], 1.0)
    wait_until(lambda: load.effects.counts("E"), 20)
    mortal.set_memory(1)
    (spec,) = load.specs_of(1, ("inline",), QUEUES, 0.01)
    with pytest.raises(QueueUnavailable, match="memory"):
        load.shared.queue.enqueue(spec)
    wait_until(lambda: "memory is full" in host.log.read_text(), 15, "the log says why")
    time.sleep(3)
    assert _all_live(host)
    mortal.set_memory(0)
    load.shared.queue.enqueue(spec)
    load.specs.append(spec)
    load.wait(30)
    assert _all_live(host)
    assert load.shared.queue.status(spec.id).status == JobStatus.FINISHED
    assert host.stop() == [0, 0]
    load.check()
    assert set(load.effects.counts("E").values()) == {1}
