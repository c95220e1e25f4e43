"""Stock RQ: one function per kind of job, pickled by name as RQ does by default."""

from __future__ import annotations

import os
import time

from redis import Redis
from rq import Queue

from benchmarks.queue_peers.conversation import BATCH
from benchmarks.queue_peers.marks import mark

RESULT_SECONDS = 3600


def noop(number: int) -> int:
    mark()
    return number


def wait(seconds: float) -> float:
    time.sleep(seconds)
    mark()
    return seconds


class Producer:
    def __init__(self) -> None:
        self._connection = Redis.from_url(os.environ["BENCH_REDIS"])
        self._queue = Queue(connection=self._connection)
        self._count = 0

    def prepare(self) -> None:
        self._count = 0

    def enqueue(self, kind: str, count: int, seconds: float) -> None:
        function, given = (wait, seconds) if kind == "wait" else (noop, 1)
        for _ in range(count):
            self._queue.enqueue(function, given, result_ttl=RESULT_SECONDS)
        self._count += count

    def enqueue_bulk(self, kind: str, count: int, seconds: float) -> None:
        function, given = (wait, seconds) if kind == "wait" else (noop, 1)
        for start in range(0, count, BATCH):
            size = min(BATCH, count - start)
            self._queue.enqueue_many(
                [Queue.prepare_data(function, (given,), result_ttl=RESULT_SECONDS) for _ in range(size)]
            )
        self._count += count

    def left(self) -> int:
        return self._count - int(self._connection.zcard("rq:finished:default"))

    def call(self) -> None:
        job = self._queue.enqueue(noop, 1, result_ttl=RESULT_SECONDS)
        result = job.latest_result(timeout=30)
        assert result
        assert result.return_value == 1
        self._count += 1
