"""Celery: late acknowledgement and results in Redis; bulk by `group`, results by its subscription."""

from __future__ import annotations

import os
import time
from typing import Any

from celery import Celery, group
from redis import Redis

from benchmarks.queue_peers.conversation import BATCH
from benchmarks.queue_peers.marks import mark

URL = os.environ["BENCH_REDIS"]
app = Celery("bench", broker=URL, backend=URL)
app.conf.update(
    task_acks_late=True,
    task_ignore_result=False,
    result_expires=3600,
    broker_connection_retry_on_startup=True,
    worker_hijack_root_logger=False,
)


@app.task
def noop(number: int) -> int:
    mark()
    return number


@app.task
def wait(seconds: float) -> float:
    time.sleep(seconds)
    mark()
    return seconds


class Producer:
    def __init__(self) -> None:
        self._connection = Redis.from_url(URL)
        self._keys: list[str] = []

    def prepare(self) -> None:
        self._keys = []

    def enqueue(self, kind: str, count: int, seconds: float) -> None:
        task, given = (wait, seconds) if kind == "wait" else (noop, 1)
        self._keep([task.delay(given) for _ in range(count)])

    def enqueue_bulk(self, kind: str, count: int, seconds: float) -> None:
        task, given = (wait, seconds) if kind == "wait" else (noop, 1)
        for start in range(0, count, BATCH):
            calls = group(task.s(given) for _ in range(min(BATCH, count - start)))
            self._keep(calls.apply_async().results)

    def left(self) -> int:
        return len(self._keys) - int(self._connection.exists(*self._keys)) if self._keys else 0

    def call(self) -> None:
        assert noop.delay(1).get(timeout=30) == 1

    def _keep(self, results: list[Any]) -> None:
        self._keys += [f"celery-task-meta-{result.id}" for result in results]
