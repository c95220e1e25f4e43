"""A stand for one system: its producers and worker processes on the server, and what is read off them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks.queue_peers.contenders import ROOT, Contender, Environments
from benchmarks.queue_peers.marks import Marks
from benchmarks.queue_peers.server import Server

OURS = ("LTMC_", "LETTA_", "REDIS_", "HTTP_", "NEO4J_", "EMBEDDING_", "DB_PATH", "FAISS_", "LOG_", "PYTHON")
PATIENCE_SECONDS = 120.0
LOOK_SECONDS = 0.002
STOP_SECONDS = 10.0
NOTHING: Mapping[str, str] = {}


class Producer:
    """The process that enqueues and waits for results, in the system's own environment."""

    def __init__(self, command: list[str], environment: Mapping[str, str], log: Path) -> None:
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                command,
                env=dict(environment),
                cwd=ROOT,
                text=True,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
            )
        self._log = log

    def __call__(self, *words: Any) -> Any:
        assert self._process.stdin
        assert self._process.stdout
        try:
            self._process.stdin.write(json.dumps(words) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass
        answer = self._process.stdout.readline()
        if not answer:
            raise SystemExit(f"{words}: the producer ended\n{self._log.read_text()[-2000:]}")
        return json.loads(answer)

    def stop(self) -> None:
        self._process.kill()
        self._process.communicate()


@dataclass
class Drained:
    """How a queue was worked off, from when all worker processes ran until the last result was there."""

    rate: float  # jobs/s
    figures: dict[str, float]  # by job: worker and Redis CPU in µs, commands, reads


class Stand:
    """One system's."""

    def __init__(self, contender: Contender, environments: Environments, server: Server, folder: Path) -> None:
        self.contender = contender
        self.server = server
        self.marks = Marks(folder / f"marks-{contender.module}")
        self._programs = environments.folder(contender)
        self._log = folder / f"{contender.module}.log"
        kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        self._environment = kept | {
            "BENCH_REDIS": server.url,
            "BENCH_MARKS": str(self.marks.file),
            "BENCH_AT_ONCE": str(contender.at_once),
            "PYTHONPATH": str(ROOT),
            "LTMC_HOME": str(folder / "home"),
            "REDIS_URL": server.url,
            "LOG_LEVEL": "WARNING",
            "LTMC_ASYNC_SLOTS": str(contender.at_once),
            "LTMC_THREAD_SLOTS": str(contender.at_once),
        }

    @contextmanager
    def producer(self, environment: Mapping[str, str] = NOTHING) -> Iterator[Producer]:
        command = [str(self._programs / "python"), "-m", "benchmarks.queue_peers.conversation", self.contender.module]
        started = Producer(command, self._environment | dict(environment), self._log)
        try:
            yield started
        finally:
            started.stop()

    def empty(self, producer: Producer, fsync: str = "everysec") -> None:
        """An empty server, and what this system needs there before it starts."""
        self.server.empty(fsync)
        self.marks.clear()
        producer("prepare")

    @contextmanager
    def workers(
        self,
        processes: int,
        *,
        waits: bool = False,
        queues: tuple[str, ...] = (),
        environment: Mapping[str, str] = NOTHING,
    ) -> Iterator[Fleet]:
        """Worker processes; at the end ours are stopped as they should be, the others killed with their children."""
        command = self.contender.command_for(waits)
        command = (*command[:-1], *queues) if queues else command
        starts = 1 if any("{processes}" in word for word in command) else processes
        started = []
        with self._log.open("ab") as log:
            for slot in range(starts):
                told = {"BENCH_SLOT": str(slot)} if starts == processes else {}
                started.append(
                    subprocess.Popen(
                        self._filled(command, processes, slot),
                        env=self._environment | dict(environment) | told,
                        cwd=ROOT,
                        stdout=log,
                        stderr=log,
                        start_new_session=True,
                    )
                )
        fleet = Fleet(self, [psutil.Process(process.pid) for process in started], processes)
        try:
            yield fleet
        finally:
            if not self.contender.requirements:  # what ours leave on the disk would be found by the next ones
                for process in started:
                    process.terminate()
                psutil.wait_procs(fleet.started, timeout=STOP_SECONDS)
            for process in started:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def _filled(self, command: tuple[str, ...], processes: int, slot: int) -> list[str]:
        given = {"processes": processes, "at_once": self.contender.at_once, "slot": slot, "redis": self.server.url}
        program, *words = (word.format(**given) for word in command)
        return [str(self._programs / program), *words]

    def log(self) -> str:
        return self._log.read_text()[-2000:]


class Fleet:
    """The running worker processes of a stand."""

    def __init__(self, stand: Stand, started: list[psutil.Process], processes: int) -> None:
        self._stand = stand
        self.started = started
        self.processes = processes

    def drained(self, producer: Producer, jobs: int, first: int = 0) -> Drained:
        """Wait until all these jobs have results; what is measured begins after the first ones."""
        began, done, before = self._under_way(jobs, first)
        self._wait(lambda: self._stand.marks.count() >= jobs)
        self._wait(lambda: producer("left")["result"] <= 0)
        return self._drained(began, done, before, jobs)

    def ran(self, jobs: int, seconds: float) -> Drained:
        """The same over the first seconds alone; the results are not waited for."""
        began, done, before = self._under_way(jobs, 0)
        self._wait(lambda: self._stand.marks.count() >= jobs or time.monotonic() > began + seconds)
        return self._drained(began, done, before, self._stand.marks.count())

    def _under_way(self, jobs: int, first: int) -> tuple[float, int, dict[str, float]]:
        """When all processes run and so many jobs are done: the time, the jobs done, what was spent so far."""
        marks = self._stand.marks
        self._wait(
            lambda: marks.count() >= max(1, first) and (marks.slots() >= self.processes or marks.count() >= jobs)
        )
        before, done = self.counters(), marks.count()
        if done > jobs / 2:
            return marks.read()[0][0], 1, {}  # done before all processes ran: the rate of all that there was
        return marks.read()[done - 1][0], done, before

    def _drained(self, began: float, done: int, before: dict[str, float], jobs: int) -> Drained:
        ended, after = time.monotonic(), self.counters()
        by_job = {name: (after[name] - spent) / (jobs - done) for name, spent in before.items()}
        return Drained((jobs - done) / (ended - began), by_job)

    def counters(self) -> dict[str, float]:
        """Seconds of processor of workers and server, commands, reads; so far."""
        return {"worker cpu": sum(map(_seconds, self.tree()))} | self._stand.server.counters()

    def tree(self) -> list[psutil.Process]:
        return [one for process in self.started for one in (process, *process.children(recursive=True))]

    def megabytes(self) -> float:
        """Memory of the whole tree (PSS), by worker process."""
        total = 0
        for process in self.tree():
            with suppress(psutil.NoSuchProcess):
                found = process.memory_full_info()
                total += getattr(found, "pss", found.uss)
        return total / self.processes / 1e6

    def _wait(self, ready: Any) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not ready():
            if time.monotonic() > deadline or not any(process.is_running() for process in self.started):
                name, count = self._stand.contender.name, self._stand.marks.count()
                raise SystemExit(f"{name}: nothing more happens after {count} jobs\n{self._stand.log()}")
            time.sleep(LOOK_SECONDS)


def _seconds(process: psutil.Process) -> float:
    try:
        found = process.cpu_times()
    except psutil.NoSuchProcess:  # a fork's
        return 0.0
    return float(found.user + found.system + found.children_user + found.children_system)
