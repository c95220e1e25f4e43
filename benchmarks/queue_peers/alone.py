"""Ours alone: how the cost grows, what full durability costs, asyncio, an idle fleet, waiting jobs on more workers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from statistics import median

from benchmarks.queue_peers.contest import MILLION, PROCESSES, Contest
from benchmarks.queue_peers.ltmc import HAS_EXECUTORS, line_names
from benchmarks.queue_peers.stand import Drained, Stand
from benchmarks.rows import Rows

GROWN_PROCESSES = (1, 2, 4)
GROWN_QUEUES = (1, 10, 50)
WAITING = (1_000, 10_000, 100_000, 1_000_000)
AT_ONCE = {"asyncio 100 ms, 200 at once": (0.1, 200), "asyncio 10 ms, 20 at once": (0.01, 20)}
IDLE_PROCESSES = 4
IDLE_AFTER = 200  # jobs that have run
WAIT_SECONDS = 0.02
SPEED_UP = {2: 1.8, 4: 3.4}


class Alone:
    """The cases of our own stand, each on an empty server."""

    def __init__(self, stand: Stand, contest: Contest, rows: Rows, *, quick: bool) -> None:
        self._stand = stand
        self._contest = contest
        self._rows = rows
        self._quick = quick
        self._seconds = 0.6 if quick else 3.0

    def run(self) -> None:
        cases: list[Callable[[], None]] = [
            self._always,
            self._grow_processes,
            self._grow_queues,
            self._grow_waiting,
            self._idle,
            self._speed_up,
        ]
        if HAS_EXECUTORS:
            cases.append(self._at_once)
        for case in cases:
            case()

    def _always(self) -> None:
        """Synced at every write, beside what the disk takes for one sync."""
        found = [
            self._drained() if fsync == "everysec" else self._drained(fsync=fsync) for fsync in ("everysec", "always")
        ]
        every, always = (one.rate for one in found)
        self._rows.add("drain_noop, appendfsync always", "jobs/s", always, "jobs/s")
        self._rows.held("drain_noop, appendfsync always", "times everysec", always / every, 0.5, "times")
        syncs = self._stand.server.fdatasync_ms(50 if self._quick else 200)
        self._rows.add("drain_noop, appendfsync always", "fdatasync p50", median(syncs), "ms", system="disk")

    def _grow_processes(self) -> None:
        for processes in GROWN_PROCESSES[:: 2 if self._quick else 1]:
            self._add(f"growth, {processes} processes", self._drained(processes))

    def _grow_queues(self) -> None:
        for queues in GROWN_QUEUES[:: 2 if self._quick else 1]:
            self._add(f"growth, {queues} queues", self._drained(queues=queues))

    def _grow_waiting(self) -> None:
        """The more jobs wait; no further where filling the queue would take minutes."""
        patience_seconds = 4.0 if self._quick else 240.0
        for waiting in WAITING[:-1] if self._quick else WAITING:
            with self._stand.producer() as producer:
                self._stand.empty(producer)
                began = time.monotonic()
                producer("enqueue_bulk", "noop", waiting, 0)
                filling_seconds = time.monotonic() - began
                with self._stand.workers(PROCESSES) as fleet:
                    self._add(f"growth, {waiting} jobs waiting", fleet.ran(waiting, self._seconds))
            if filling_seconds * 10 > patience_seconds:
                return

    def _idle(self) -> None:
        """What a process costs that has nothing to do; the questions of this measurement are taken off."""
        with self._stand.producer() as producer:
            self._stand.empty(producer)
            producer("enqueue_bulk", "noop", IDLE_AFTER, 0)
            with self._stand.workers(IDLE_PROCESSES) as fleet:
                fleet.drained(producer, IDLE_AFTER)
                time.sleep(1.0)
                began, before = time.monotonic(), fleet.counters()
                time.sleep(2.0 if self._quick else 20.0)
                after, seconds = fleet.counters(), time.monotonic() - began
        commands = max(0.01, after["commands"] - before["commands"] - 2) / seconds / IDLE_PROCESSES
        # The system counts in hundredths of a second: what is less than one is shown as one.
        busy = max(0.01, after["worker cpu"] - before["worker cpu"]) / seconds / IDLE_PROCESSES
        self._rows.held("Y08 idle worker process", "Redis commands", commands, 10, "per s")
        self._rows.held("P13 idle worker process", "CPU", busy * 100, 1, "% of a core")

    def _speed_up(self) -> None:
        """Jobs that wait, one at a time in a process."""
        rates: dict[int, float] = {}
        for processes in GROWN_PROCESSES:
            jobs = int(self._seconds / WAIT_SECONDS * processes)
            rates[processes] = self._waited("sleep", WAIT_SECONDS, processes, 1, jobs)
            self._rows.add(f"P09 20 ms jobs, {processes} processes", "jobs/s", rates[processes], "jobs/s")
        for processes, target in SPEED_UP.items():
            case = f"P09 20 ms jobs, {processes} processes"
            self._rows.held(case, "speed-up", rates[processes] / rates[1], target, "times")

    def _at_once(self) -> None:
        """Many jobs that wait in one process."""
        for case, (seconds, at_once) in AT_ONCE.items():
            rounds = max(5, int(self._seconds / seconds))
            bare = asyncio.run(bare_rate(seconds, at_once, rounds))
            rate = self._waited("wait", seconds, 1, at_once, at_once * rounds)
            self._rows.add(case, "jobs/s", rate, "jobs/s")
            self._rows.add(case, "jobs/s", bare, "jobs/s", system="bare asyncio")
            self._rows.add(case, "jobs/s", at_once / seconds, "jobs/s", system="ideal")
            ideal = seconds >= 0.1
            against = at_once / seconds if ideal else bare
            self._rows.held(case, f"share of {'the ideal' if ideal else 'bare asyncio'}", rate / against, 0.9, "times")

    def _waited(self, kind: str, seconds: float, processes: int, at_once: int, jobs: int) -> float:
        with self._stand.producer() as producer:
            self._stand.empty(producer)
            producer("enqueue_bulk", kind, jobs, seconds)
            with self._stand.workers(processes, environment={"LTMC_ASYNC_SLOTS": str(at_once)}) as fleet:
                return fleet.drained(producer, jobs, first=processes * at_once).rate

    def _drained(self, processes: int = PROCESSES, queues: int = 1, fsync: str = "everysec") -> Drained:
        with self._stand.producer() as producer:
            self._stand.empty(producer, fsync)
            jobs = self._contest.jobs(self._stand.contender, self._seconds)
            producer("enqueue_bulk", "noop", jobs, 0, queues)
            with self._stand.workers(processes, queues=tuple(line_names(queues))) as fleet:
                return fleet.drained(producer, jobs)

    def _add(self, case: str, drained: Drained) -> None:
        self._rows.add(case, "jobs/s", drained.rate, "jobs/s")
        for name, shown in {"worker cpu": "worker CPU", "redis cpu": "Redis CPU"}.items():
            if name in drained.figures:
                self._rows.add(case, shown, drained.figures[name] * MILLION, "us/job")


async def bare_rate(seconds: float, at_once: int, rounds: int) -> float:
    """Jobs/s of asyncio without any queue: so many tasks, each waiting again and again."""

    async def wait() -> None:
        for _ in range(rounds):
            await asyncio.sleep(seconds)

    began = time.monotonic()
    await asyncio.gather(*(wait() for _ in range(at_once)))
    return at_once * rounds / (time.monotonic() - began)
