"""Isolated processes forked by the fleet's parent: as good as commands, and sooner there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from ltmc_jobs.queues.contract import JobSpec
from ltmc_jobs.queues.envelope import Keyring, seal
from ltmc_jobs.queues.isolation.isolated import IsolatedProcess
from ltmc_jobs.registry import JobKind
from ltmc_jobs.settings import Settings
from tests.conftest import clean_environment, wait_until
from tests.fleet import ROOT, open_installation
from tests.waiting import gone
from tests.workers import isolated_kinds as kinds
from workers.fleet import Fleet, Member
from workers.nursery import Nursery

MODULE = "tests.workers.test_nursery"


class Asker:
    """A worker of the fleet, reduced to the jobs that it has isolated processes run."""

    def __init__(self, settings: Settings, nursery: Nursery, directory: Path) -> None:
        self._keys = Keyring.load(settings)
        self._process = IsolatedProcess(modules=[kinds.MODULE], birth=nursery.door)
        self._directory = directory

    def run(self, kind: JobKind, **args: Any) -> Any:
        spec = JobSpec(kind=kind, args=args, project="default")
        return self._process.run(json.loads(seal(spec, self._keys)), spec.id, 1, 30.0)

    def tell(self) -> None:
        started = time.monotonic()
        first = self.run(kinds.GIVE_PID)
        told = {"seconds": time.monotonic() - started, "pid": first["pid"], "asker": os.getpid()}
        told["again"] = self.run(kinds.GIVE_PID)["pid"]
        for name, kind in (("crash", kinds.CRASH), ("kill", kinds.BE_KILLED)):
            try:
                self.run(kind)
            except Exception as error:
                told[name] = error.details  # type: ignore[attr-defined]
        told["last"] = self.run(kinds.GIVE_PID)["pid"]
        aside = self._directory / "told.new"
        aside.write_text(json.dumps(told))
        aside.replace(self._directory / "told")
        while (self._directory / "hang").exists():
            self.run(kinds.HANG, file=str(self._directory / "pids"))
        signal.pause()


@pytest.fixture
def start(settings: Settings, tmp_path: Path) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    open_installation(settings).close()
    started: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        environment = clean_environment(settings.home, REDIS_URL=settings.redis_address(), PYTHONPATH=ROOT)
        command = [sys.executable, "-m", MODULE, str(tmp_path)]
        started.append(subprocess.Popen(command, env=environment, cwd=ROOT))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_a_child_is_forked_by_the_parent_and_its_end_is_told(
    start: Callable[[], subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    fleet = start()
    wait_until((tmp_path / "told").exists, 30)
    told = json.loads((tmp_path / "told").read_text())
    assert told["again"] == told["pid"]
    assert told["crash"]["signal"] == "SIGSEGV"
    assert "the last words" in told["crash"]["last_lines"]
    assert (told["kill"]["signal"], told["kill"]["exit_code"]) == ("SIGKILL", -signal.SIGKILL)
    assert told["kill"]["peak_rss_bytes"] > 200 << 20
    child = psutil.Process(told["last"])
    assert child.ppid() == fleet.pid
    assert os.getsid(child.pid) == child.pid, "what its job starts is killed with it"
    assert told["seconds"] < 1.0
    fleet.terminate()
    assert fleet.wait(20) == 0
    wait_until(lambda: gone(child.pid), 5)


@pytest.mark.parametrize("who", ["parent", "asker"])
def test_no_child_outlives_its_asker_or_the_parent(
    start: Callable[[], subprocess.Popen[bytes]], tmp_path: Path, who: str
) -> None:
    """Not even one that keeps Python's lock in native code."""
    (tmp_path / "hang").touch()
    fleet = start()
    pids = wait_until(lambda: (tmp_path / "pids").exists() and (tmp_path / "pids").read_text().split(), 30)
    asker = json.loads((tmp_path / "told").read_text())["asker"]
    (tmp_path / "hang").unlink()
    os.kill(fleet.pid if who == "parent" else asker, signal.SIGKILL)
    wait_until(lambda: gone(int(pids[0])), 5)
    if who == "asker":
        wait_until(lambda: gone(int(pids[1])), 5, "what the job had started itself went with it")
    else:
        os.kill(int(pids[1]), signal.SIGKILL)


def test_where_nobody_forks_a_command_is_started(settings: Settings) -> None:
    open_installation(settings).close()
    nursery = Nursery()
    nursery.forget()  # as when the parent is gone
    environment = clean_environment(settings.home, REDIS_URL=settings.redis_address(), PYTHONPATH=ROOT)
    process = IsolatedProcess(modules=[kinds.MODULE], environment=environment, birth=nursery.door)
    spec = JobSpec(kind=kinds.GIVE_PID, args={}, project="default")
    try:
        answer = process.run(json.loads(seal(spec, Keyring.load(settings))), spec.id, 1, 30.0)
        assert psutil.Process(answer["pid"]).ppid() == os.getpid()
    finally:
        process.close()
        nursery.close()


if __name__ == "__main__":
    told_settings = Settings.load()
    parent = Fleet(told_settings, with_stores=False, with_scheduler=False)
    asker = Asker(told_settings, parent.nursery, Path(sys.argv[1]))
    parent.members = [Member("asker", asker.tell)]
    parent.run()
