"""Ours alone: how the cost grows, what full durability costs, asyncio, an idle fleet, waiting jobs on more workers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from statistics import median

from benchmarks.queue_peers.contenders import OURS
from benchmarks.queue_peers.contest import MILLION, PROCESSES, PROCESSOR, Contest
from benchmarks.queue_peers.figures import Figures
from benchmarks.queue_peers.ltmc import HAS_EXECUTORS, line_names
from benchmarks.queue_peers.stand import Drained, Stand
from benchmarks.rows import Rows

GROWN_PROCESSES = (1, 2, 4)
GROWN_QUEUES = (1, 10, 50)
WAITING = (1_000, 10_000, 100_000, 1_000_000)
IDEAL, BARE = "the ideal", "bare asyncio"
# Seconds of a job, how many at once, and what ours is held to be near.
AT_ONCE = {"asyncio 100 ms, 200 at once": (0.1, 200, IDEAL), "asyncio 10 ms, 20 at once": (0.01, 20, BARE)}
EVERYSEC, ALWAYS = "drain_noop, appendfsync everysec", "drain_noop, appendfsync always"
SPEED = "P09 20 ms jobs, {} processes"
IDLE_PROCESSES = 4
IDLE_AFTER = 200  # jobs that have run
WAIT_SECONDS = 0.02
SPEED_UP = {2: 1.8, 4: 3.4}


class Alone:
    """The cases of our own stand, each on an empty server; in as many rounds as the contest."""

    def __init__(self, stand: Stand, contest: Contest, rows: Rows, *, quick: bool, rounds: int) -> None:
        self._stand = stand
        self._contest = contest
        self._rows = rows
        self._quick = quick
        self._rounds = rounds
        self._seconds = 0.6 if quick else 3.0
        self._figures = Figures()

    def run(self) -> None:
        in_rounds: list[Callable[[], None]] = [self._always, self._grow, self._work_and_wait]
        if HAS_EXECUTORS:
            in_rounds.append(self._at_once)
        for number in range(self._rounds):
            print(f"ours alone, round {number + 1} of {self._rounds}", flush=True)
            for case in in_rounds:
                case()
        self._grow_waiting()
        self._figures.write(self._rows)
        self._judge()
        self._idle()

    def _judge(self) -> None:
        def rate(case: str, system: str = OURS.name) -> float:
            return self._figures.median(system, case, "jobs/s")

        times = rate(ALWAYS) / rate(EVERYSEC)
        self._rows.held(ALWAYS, "times everysec", times, 0.5, "times")
        for processes, target in SPEED_UP.items():
            times = rate(SPEED.format(processes)) / rate(SPEED.format(1))
            self._rows.held(SPEED.format(processes), "speed-up", times, target, "times")
        if HAS_EXECUTORS:
            for case, (_, _, other) in AT_ONCE.items():
                self._rows.held(case, f"share of {other}", rate(case) / rate(case, other), 0.9, "times")

    def _always(self) -> None:
        """Synced at every write, beside what the disk takes for one sync."""
        for case in (EVERYSEC, ALWAYS):
            self._add(case, self._drained(fsync=case.rpartition(" ")[2]))
        syncs = self._stand.server.fdatasync_ms(50 if self._quick else 200)
        self._figures.take("disk", ALWAYS, "fdatasync p50", median(syncs), "ms")

    def _grow(self) -> None:
        for processes in GROWN_PROCESSES[:: 2 if self._quick else 1]:
            self._add(f"growth, {processes} processes", self._drained(processes))
        for queues in GROWN_QUEUES[2 if self._quick else 0 :]:
            self._add(f"growth, {queues} queues", self._drained(queues=queues))

    def _grow_waiting(self) -> None:
        """The more jobs wait; no further where filling the queue would take minutes."""
        patience_seconds = 4.0 if self._quick else 240.0
        for waiting in WAITING[1:-1] if self._quick else WAITING:
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

    def _work_and_wait(self) -> None:
        """Jobs that wait, one at a time in a process."""
        for processes in GROWN_PROCESSES:
            jobs = int(self._seconds / WAIT_SECONDS * processes)
            rate = self._waited("sleep", WAIT_SECONDS, processes, 1, jobs)
            self._figures.take(OURS.name, SPEED.format(processes), "jobs/s", rate, "jobs/s")

    def _at_once(self) -> None:
        """Many jobs that wait in one process."""
        for case, (seconds, at_once, _) in AT_ONCE.items():
            rounds = max(5, int(self._seconds / seconds))
            rates = {
                OURS.name: self._waited("wait", seconds, 1, at_once, at_once * rounds),
                BARE: asyncio.run(bare_rate(seconds, at_once, rounds)),
                IDEAL: at_once / seconds,
            }
            for system, rate in rates.items():
                self._figures.take(system, case, "jobs/s", rate, "jobs/s")

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
        self._figures.take(OURS.name, case, "jobs/s", drained.rate, "jobs/s")
        for name, shown in PROCESSOR.items():
            if name in drained.figures:
                self._figures.take(OURS.name, case, shown, drained.figures[name] * MILLION, "us/job")


async def bare_rate(seconds: float, at_once: int, rounds: int) -> float:
    """Jobs/s of asyncio without any queue: so many tasks, each waiting again and again."""

    async def wait() -> None:
        for _ in range(rounds):
            await asyncio.sleep(seconds)

    began = time.monotonic()
    await asyncio.gather(*(wait() for _ in range(at_once)))
    return at_once * rounds / (time.monotonic() - began)
