"""The forking parent: its pools, its order to stop, its dead replaced, its own death survived by nobody."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from ltmc_jobs.registry import STORELESS_QUEUES, Queue
from tests.conftest import MakeSettings, clean_environment, wait_until
from workers import processes
from workers.backoff import Backoff
from workers.guard import Guard
from workers.pools import pools_of

# A fleet of three bodies that are ours: one that ends its work when asked, one that dies young, one that only waits.
PROGRAM = """
import os, signal, sys, time
from pathlib import Path
from ltmc_jobs.settings import Settings
from workers.fleet import Fleet, Member

directory = Path(sys.argv[1])

def finishing():
    stopping = []
    signal.signal(signal.SIGTERM, lambda *_: stopping.append(1))
    (directory / "finishing").write_text(str(os.getpid()))
    while not stopping:
        time.sleep(0.01)
    time.sleep(0.5)
    with (directory / "finished").open("a") as file:
        file.write(f"{len(stopping)}\\n")

def dying():
    with (directory / "deaths").open("a") as file:
        file.write("x")
    sys.exit(3)

def waiting():
    (directory / "waiting").write_text(str(os.getpid()))
    signal.pause()

fleet = Fleet(Settings.load(), with_stores=False, with_scheduler=False)
fleet.members = [Member("finishing", finishing), Member("dying", dying), Member("waiting", waiting)]
fleet.run()
"""


@pytest.fixture
def running(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        env=clean_environment(tmp_path / "home"),
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until(lambda: pid(tmp_path / "finishing") and pid(tmp_path / "waiting"), 20)
    yield process
    process.kill()
    process.communicate()


def pid(file: Path) -> int:
    return int(file.read_text() or 0) if file.exists() else 0


def gone(number: int) -> Callable[[], bool]:
    return lambda: not psutil.pid_exists(number) or not processes.alive(psutil.Process(number))


def test_d05_the_pools_of_a_host_with_stores(make_settings: MakeSettings) -> None:
    """D05, V23: 1 critical, 2 high, as many default and low as the originals' variable says."""
    pools = {pool.name: pool for pool in pools_of(make_settings(LETTA_WORKER_COUNT=7), with_stores=True)}
    assert (pools["critical"].queues[0], pools["critical"].processes) == (Queue.CRITICAL, 1)
    assert (pools["high"].queues[0], pools["high"].processes) == (Queue.HIGH, 2)
    assert (pools["default"].queues, pools["default"].processes) == ((Queue.DEFAULT, Queue.LOW), 7)


def test_every_queue_is_served_and_the_index_has_one_writer(make_settings: MakeSettings) -> None:
    pools = pools_of(make_settings(), with_stores=True)
    assert {queue for pool in pools for queue in pool.queues} == set(Queue)
    assert sum(pool.processes for pool in pools if Queue.VECTORS in pool.queues) == 1


def test_a_host_without_stores_takes_what_touches_none(make_settings: MakeSettings) -> None:
    pools = pools_of(make_settings(), with_stores=False)
    assert {queue for pool in pools for queue in pool.queues} == set(STORELESS_QUEUES)


def test_d05_a_running_job_is_finished_and_asked_once(running: subprocess.Popen[str], tmp_path: Path) -> None:
    running.send_signal(signal.SIGTERM)
    assert running.wait(10) == 0
    assert (tmp_path / "finished").read_text() == "1\n"


def test_d05_a_dead_worker_is_replaced_within_a_second(running: subprocess.Popen[str], tmp_path: Path) -> None:
    first = pid(tmp_path / "waiting")
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: pid(tmp_path / "waiting") not in (0, first), 2)
    assert running.poll() is None


def test_one_that_dies_at_once_is_started_ever_more_slowly(running: subprocess.Popen[str], tmp_path: Path) -> None:
    wait_until(lambda: len((tmp_path / "deaths").read_text()) >= 3)
    running.terminate()
    said = running.communicate(timeout=10)[1]
    assert "dying ended (exit code 3); another starts in 0.2 s" in said
    assert "another starts in 0.4 s" in said


def test_no_worker_outlives_a_killed_fleet(running: subprocess.Popen[str], tmp_path: Path) -> None:
    workers = [pid(tmp_path / name) for name in ("finishing", "waiting")]
    running.kill()
    for worker in workers:
        wait_until(gone(worker), 5)
    assert (tmp_path / "finished").exists()


def test_backoff_grows_and_ends_somewhere() -> None:
    backoff = Backoff()
    backoff.started()
    assert [backoff.died() for _ in range(9)][-3:] == [12.8, 25.6, 30.0]


def test_backoff_starts_over_for_one_that_lived() -> None:
    backoff = Backoff(young_seconds=-1.0)
    backoff.started()
    assert [backoff.died() for _ in range(3)] == [0.2, 0.2, 0.2]


def test_the_guard_ends_the_group_of_a_killed_parent() -> None:
    program = """
import os, signal, subprocess
from workers.guard import Guard
guard = Guard()
print(subprocess.Popen(["sleep", "60"], process_group=guard.group, stdout=subprocess.DEVNULL).pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL
    wait_until(gone(int(killed.stdout)), 5)


def test_a_guard_that_ended_is_replaced() -> None:
    guard = Guard()
    first = guard.group
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: guard.group != first)
    guard.close()
