"""Huey: its Redis queue with results; for round trips with its notices, so that a caller need not poll."""

from __future__ import annotations

import os
import time

from huey import RedisHuey

from benchmarks.queue_peers.marks import mark

huey = RedisHuey(
    "bench",
    url=os.environ["BENCH_REDIS"],
    notify_result=os.environ.get("BENCH_REPLIES") == "1",  # costs three commands a job: on only where it is of use
)


@huey.task()
def noop(number: int) -> int:
    mark()
    return number


@huey.task()
def wait(seconds: float) -> float:
    time.sleep(seconds)
    mark()
    return seconds


class Producer:
    def __init__(self) -> None:
        self._count = 0

    def prepare(self) -> None:
        self._count = 0

    def enqueue(self, kind: str, count: int, seconds: float) -> None:
        task, given = (wait, seconds) if kind == "wait" else (noop, 1)
        for _ in range(count):
            task(given)
        self._count += count

    def enqueue_bulk(self, kind: str, count: int, seconds: float) -> None:
        """It has no way of its own to enqueue many."""
        self.enqueue(kind, count, seconds)

    def left(self) -> int:
        return self._count - int(huey.result_count())

    def call(self) -> None:
        assert noop(1).get(blocking=True, timeout=30) == 1
