"""Dramatiq: its Redis broker, results kept by its middleware, waited for by a blocking pop."""

from __future__ import annotations

import os
import time
from typing import Any

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

from benchmarks.queue_peers.conversation import BATCH
from benchmarks.queue_peers.marks import mark

URL = os.environ["BENCH_REDIS"]
backend = RedisBackend(url=URL)
broker = RedisBroker(url=URL)
broker.add_middleware(Results(backend=backend, store_results=True, result_ttl=3_600_000))
dramatiq.set_broker(broker)


@dramatiq.actor
def noop(number: int) -> int:
    mark()
    return number


@dramatiq.actor
def wait(seconds: float) -> float:
    time.sleep(seconds)
    mark()
    return seconds


class Producer:
    def __init__(self) -> None:
        self._keys: list[str] = []

    def prepare(self) -> None:
        self._keys = []

    def enqueue(self, kind: str, count: int, seconds: float) -> None:
        actor, given = (wait, seconds) if kind == "wait" else (noop, 1)
        self._keep([actor.send(given) for _ in range(count)])

    def enqueue_bulk(self, kind: str, count: int, seconds: float) -> None:
        actor, given = (wait, seconds) if kind == "wait" else (noop, 1)
        for start in range(0, count, BATCH):
            calls = dramatiq.group(actor.message(given) for _ in range(min(BATCH, count - start)))
            self._keep(calls.run().children)

    def left(self) -> int:
        return len(self._keys) - int(backend.client.exists(*self._keys)) if self._keys else 0

    def call(self) -> None:
        assert noop.send(1).get_result(backend=backend, block=True, timeout=30_000) == 1

    def _keep(self, messages: list[Any]) -> None:
        self._keys += [backend.build_message_key(message) for message in messages]
