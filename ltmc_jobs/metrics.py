"""Prometheus names, and counters that live in Redis, so that one scrape sees all processes.

Processes count in memory and add to Redis now and then (`flush`), each count once, however often it is sent.
"""

from __future__ import annotations

import json
import os
import threading
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from redis import Redis

from ltmc_jobs import keys

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
# Of jobs, which last from milliseconds to minutes: Sidekiq's, so that its boards and habits fit.
JOB_BUCKETS = (
    *(0.02, 0.03, 0.045, 0.065, 0.1, 0.15, 0.225, 0.335, 0.5, 0.75, 1.1, 1.7, 2.5, 3.8, 5.75, 8.5, 13.0),
    *(20.0, 30.0, 45.0, 65.0, 100.0, 150.0, 225.0, 335.0),
)

# name → (help, labels)
COUNTERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "ltmc_requests_total": ("Requests answered, by method and status", ("method", "status")),
    "ltmc_jobs_total": ("Runs of jobs: finished, failed, stopped or retried", ("queue", "outcome")),
    "ltmc_schedule_runs_total": ("Ticks of schedules, by what came of them", ("outcome",)),
    "ltmc_cache_lookups_total": ("Tool results looked up in the cache", ("tool", "outcome")),
}
HISTOGRAMS: dict[str, tuple[str, tuple[str, ...]]] = {
    "ltmc_schedule_lateness_seconds": ("From when a run of a schedule was due to when it was queued", ()),
    "ltmc_request_duration_seconds": ("From request to answer", ("method",)),
    "ltmc_job_wait_seconds": (
        "From when a job stood in its queue, its delays and the pauses between its attempts over, to its start",
        ("queue",),
    ),
    "ltmc_job_run_seconds": ("Run time of a job", ("queue", "func")),
}
# A client whose answer was lost sends again: what was added under the same number is not added twice.
ADD = """
if redis.call('GET', ARGV[1]) == ARGV[2] then return 0 end
redis.call('SET', ARGV[1], ARGV[2], 'EX', 3600)
for i = 3, #ARGV, 3 do redis.call('HINCRBYFLOAT', ARGV[i], ARGV[i + 1], ARGV[i + 2]) end
return 1
"""
OWN_BUCKETS = {"ltmc_job_wait_seconds": JOB_BUCKETS, "ltmc_job_run_seconds": JOB_BUCKETS}


def buckets_of(name: str) -> tuple[float, ...]:
    """The upper bounds of a histogram's buckets, in seconds."""
    return OWN_BUCKETS.get(name, BUCKETS)


class Metrics:
    """Count and observe in memory; `flush` adds it all to Redis; `collect` reads everyone's."""

    def __init__(self, connection: Redis) -> None:
        self._connection = connection
        self._pending: dict[tuple[str, tuple[str, ...]], float] = defaultdict(float)
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        self._batch: dict[tuple[str, tuple[str, ...]], float] = {}  # sent, and not known to have been added
        self._number = 0
        self._mark = keys.key(keys.INSTALLATION, "counted", os.urandom(8).hex())

    def count(self, name: str, *labels: str) -> None:
        """Add one to a counter; labels in their declared order."""
        assert len(labels) == len(COUNTERS[name][1])
        with self._lock:
            self._pending[name, labels] += 1

    def observe(self, name: str, seconds: float, *labels: str) -> None:
        """Put a duration into a histogram."""
        assert len(labels) == len(HISTOGRAMS[name][1])
        bounds = buckets_of(name)
        place = bisect_left(bounds, seconds)
        bucket = str(bounds[place]) if place < len(bounds) else "+Inf"
        with self._lock:
            self._pending[name, (*labels, bucket)] += 1
            self._pending[name, (*labels, "sum")] += seconds

    def flush(self) -> None:
        """Add what was counted to Redis; kept for the next time if Redis is away."""
        with self._sending:
            while self._batch or self._gather():
                flat: list[Any] = [self._mark, self._number]
                for (name, labels), value in self._batch.items():
                    flat += (keys.key(keys.INSTALLATION, "metrics", name), json.dumps(labels), value)
                self._connection.eval(ADD, 0, *flat)
                self._batch = {}

    def _gather(self) -> bool:
        """Take what was counted since as the next batch; whether there is any."""
        with self._lock:
            self._batch, self._pending = self._pending, defaultdict(float)
        self._number += 1
        return bool(self._batch)

    def collect(self) -> Iterator[CounterMetricFamily | HistogramMetricFamily]:
        """Every counter and histogram of the installation, as Prometheus families."""
        for name, (text, labels) in COUNTERS.items():
            counter = CounterMetricFamily(name.removesuffix("_total"), text, labels=labels)
            for field, value in self._read(name).items():
                counter.add_metric([str(label) for label in field], value)
            yield counter
        for name, (text, labels) in HISTOGRAMS.items():
            yield self._histogram(name, text, labels)

    def tool_calls(self) -> dict[str, int]:
        """How often each job kind ran, and each tool was answered from the cache, by name."""
        calls: dict[str, int] = defaultdict(int)
        for (_queue, name, bucket), value in self._read("ltmc_job_run_seconds").items():
            calls[name] += int(value) if bucket != "sum" else 0
        for (name, outcome), value in self._read("ltmc_cache_lookups_total").items():
            calls[name] += int(value) if outcome == "hit" else 0
        return dict(calls)

    def _histogram(self, name: str, text: str, labels: tuple[str, ...]) -> HistogramMetricFamily:
        series: dict[tuple[Any, ...], dict[str, float]] = defaultdict(dict)
        for field, value in self._read(name).items():
            series[tuple(field[:-1])][str(field[-1])] = value
        family = HistogramMetricFamily(name, text, labels=labels)
        for values, found in series.items():
            running, buckets = 0.0, []
            for bound in [*map(str, buckets_of(name)), "+Inf"]:
                running += found.get(bound, 0.0)
                buckets.append((bound, running))
            family.add_metric([str(value) for value in values], buckets=buckets, sum_value=found.get("sum", 0.0))
        return family

    def _read(self, name: str) -> dict[tuple[Any, ...], float]:
        stored: Any = self._connection.hgetall(keys.key(keys.INSTALLATION, "metrics", name))
        return {tuple(json.loads(field)): float(value) for field, value in sorted(stored.items())}
