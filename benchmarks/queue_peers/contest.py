"""The contest: every case of one system after the other, in rounds, so that all meet the same machine."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np

from benchmarks.queue_peers.contenders import OURS, Contender
from benchmarks.queue_peers.figures import Figures
from benchmarks.queue_peers.stand import Drained, Producer, Stand

PROCESSES = 2
WAITS = {"wait_10ms": 0.01, "wait_100ms": 0.1}
PROCESSOR = {"worker cpu": "worker CPU", "redis cpu": "Redis CPU", "redis thread": "Redis CPU, main thread"}
MOST = 60_000  # jobs of a drain
ENOUGH = 300  # finished jobs: with fewer, what Redis keeps of the workers would count as the jobs'
MILLION = 1_000_000


@dataclass(frozen=True)
class Length:
    """How much is measured."""

    rounds: int
    singles: int
    bulk: int
    drain_seconds: float
    calls: int
    waits: tuple[str, ...]
    peers_wait: bool = True


QUICK = Length(rounds=1, singles=200, bulk=1000, drain_seconds=0.5, calls=30, waits=("wait_10ms",), peers_wait=False)
FULL = Length(rounds=3, singles=2000, bulk=10_000, drain_seconds=3.0, calls=300, waits=tuple(WAITS))


class Contest:
    """All systems' figures; `rates` are the no-op jobs/s of each as last measured, by which queues are filled."""

    def __init__(self, stands: list[Stand], length: Length, figures: Figures) -> None:
        self.rates = {stand.contender.name: float(stand.contender.first_rate) for stand in stands}
        self._stands = stands
        self._length = length
        self._figures = figures

    def run(self) -> None:
        for stand in self._stands:
            if stand.contender is OURS or self._length.rounds > 1:
                with stand.producer() as producer:
                    self._drain(stand, producer)  # so that all code is compiled and the rates are known
        for number in range(self._length.rounds):
            for stand in self._stands:
                print(f"round {number + 1} of {self._length.rounds}: {stand.contender.name}", flush=True)
                with stand.producer() as producer:
                    self._enqueue(stand, producer)
                    self._work_off(stand, producer)
                    if self._length.peers_wait or stand.contender is OURS:
                        for case in self._length.waits:
                            self._wait(stand, producer, case)

    def jobs(self, contender: Contender, seconds: float) -> int:
        """How many no-op jobs keep this system's workers busy for so long, once all have started."""
        return int(min(MOST, max(100, self.rates[contender.name] * seconds)))

    def _enqueue(self, stand: Stand, producer: Producer) -> None:
        cases = {
            "enqueue_single": ("enqueue", self._length.singles),
            "enqueue_bulk": ("enqueue_bulk", self._length.bulk),
        }
        for case, (way, count) in cases.items():
            stand.empty(producer)
            producer(way, "noop", 20, 0)
            answer = producer(way, "noop", count, 0)
            self._take(stand, case, "jobs/s", count / answer["seconds"], "jobs/s")
            self._take(stand, case, "producer CPU", answer["cpu"] / count * MILLION, "us/job")

    def _drain(self, stand: Stand, producer: Producer) -> None:
        stand.empty(producer)
        jobs = self.jobs(stand.contender, 1.0)
        producer("enqueue_bulk", "noop", jobs, 0)
        with stand.workers(PROCESSES) as fleet:
            self.rates[stand.contender.name] = fleet.drained(producer, jobs).rate

    def _work_off(self, stand: Stand, producer: Producer) -> None:
        """Drain no-op jobs; what they leave in Redis; the memory of the workers; then calls, one at a time."""
        stand.empty(producer)
        jobs, empty = self.jobs(stand.contender, self._length.drain_seconds), stand.server.data_bytes()
        producer("enqueue_bulk", "noop", jobs, 0)
        with ExitStack() as stack:
            fleet = stack.enter_context(stand.workers(PROCESSES))
            drained = fleet.drained(producer, jobs)
            self._take_drain(stand, drained)
            if jobs >= ENOUGH:
                left = (stand.server.data_bytes() - empty) / jobs
                self._take(stand, "redis_bytes_per_finished_job", "bytes", left, "bytes")
            self._take(stand, "memory per worker process", "PSS", fleet.megabytes(), "MB")
            if not stand.contender.replies:
                self._call(stand)
        if stand.contender.replies:
            with stand.workers(PROCESSES, environment=stand.contender.replies):
                self._call(stand)

    def _take_drain(self, stand: Stand, drained: Drained) -> None:
        self.rates[stand.contender.name] = drained.rate
        self._take(stand, "drain_noop", "jobs/s", drained.rate, "jobs/s")
        if drained.figures:
            for name, shown in PROCESSOR.items():
                self._take(stand, "drain_noop", shown, drained.figures[name] * MILLION, "us/job")
            self._take(stand, "drain_noop", "commands", drained.figures["commands"], "per job")
            self._take(stand, "drain_noop", "reads by Redis", drained.figures["reads"], "per job")

    def _call(self, stand: Stand) -> None:
        with stand.producer(stand.contender.replies) as caller:
            caller("calls", 10)
            stand.marks.clear()
            calls = caller("calls", self._length.calls)
        taken = np.array([seconds for _, seconds in calls]) * 1000
        started = [ran - began for (began, _), (ran, _) in zip(calls, stand.marks.read(), strict=True)]
        for percentile in (50, 99):
            self._take(stand, "round_trip", f"p{percentile}", float(np.percentile(taken, percentile)), "ms")
        for percentile in (50, 99):
            waited = float(np.percentile(np.array(started) * 1000, percentile))
            self._take(stand, "enqueue to start", f"p{percentile}", waited, "ms")

    def _wait(self, stand: Stand, producer: Producer, case: str) -> None:
        """Jobs that wait: as many at once as the system can, up to twenty in a process."""
        seconds, at_once = WAITS[case], PROCESSES * stand.contender.at_once
        longest = self._length.drain_seconds
        jobs = max(3 * at_once, int(min(at_once / seconds * longest, self.rates[stand.contender.name] * longest)))
        stand.empty(producer)
        producer("enqueue_bulk", "wait", jobs, seconds)
        with stand.workers(PROCESSES, waits=True) as fleet:
            rate = fleet.drained(producer, jobs, first=at_once).rate
        self._take(stand, case, "jobs/s", rate, "jobs/s")
        self._take(stand, case, "at once", at_once, "jobs")

    def _take(self, stand: Stand, case: str, metric: str, value: float, unit: str) -> None:
        self._figures.take(stand.contender.name, case, metric, value, unit)
