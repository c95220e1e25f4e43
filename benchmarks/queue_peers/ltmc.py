"""Ours, through the public seam: the job kinds and the producer."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from typing import Any

from benchmarks.queue_peers.conversation import BATCH
from benchmarks.queue_peers.marks import mark
from ltmc_jobs.queues.contract import JobSpec
from ltmc_jobs.queues.envelope import Keyring
from ltmc_jobs.registry import JobKind, Queue
from ltmc_jobs.services import Services
from ltmc_jobs.settings import Settings
from ltmc_jobs.shared import Shared

HAS_EXECUTORS = "executor" in {field.name for field in dataclasses.fields(JobKind)}
MANY_QUEUES = 50


def queue_named(name: str) -> Queue:
    """The queue of this name; one that the platform does not have is made up, to see what many cost."""
    if name in {queue.value for queue in Queue}:
        return Queue(name)
    made = str.__new__(Queue, name)
    made._name_ = made._value_ = name
    return made


def line_names(count: int) -> list[str]:
    """So many queues."""
    return ["default"] if count == 1 else [f"line-{number}" for number in range(count)]


def noop(_services: Services, number: int) -> int:
    mark()
    return number


def wait(_services: Services, seconds: float) -> float:
    time.sleep(seconds)
    mark()
    return seconds


async def rest(_services: Services, seconds: float) -> float:
    await asyncio.sleep(seconds)
    mark()
    return seconds


def _kind(name: str, function: str, queue: str = "default", **options: Any) -> JobKind:
    return JobKind(name=name, path=f"{__name__}.{function}", queue=queue_named(queue), **options)


NOOPS = {name: _kind(f"noop_{name}", "noop", name) for name in ("default", *line_names(MANY_QUEUES))}
SLEEP = _kind("sleep", "wait")
WAIT = _kind("wait", "rest", executor="asyncio") if HAS_EXECUTORS else _kind("wait", "wait")


class Producer:
    """`kind`: noop, wait (asyncio, where there is that) or sleep (one at a time in a process)."""

    def __init__(self) -> None:
        self._settings = Settings.load()
        self._settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        Keyring.make(self._settings)
        self._shared = Shared.open(self._settings)
        self._queue = self._shared.queue
        self._count = 0

    def prepare(self) -> None:
        self._shared.installation.register()
        self._count = 0

    def enqueue(self, kind: str, count: int, seconds: float) -> None:
        for _ in range(count):
            self._queue.enqueue(self._spec(kind, seconds))
        self._count += count

    def enqueue_bulk(self, kind: str, count: int, seconds: float, queues: int = 1) -> None:
        names = line_names(queues)
        for start in range(0, count, BATCH):
            numbers = range(start, min(start + BATCH, count))
            self._queue.enqueue_many([self._spec(kind, seconds, names[number % queues]) for number in numbers])
        self._count += count

    def left(self) -> int:
        return self._count - sum(states.get("finished", 0) for states in self._queue.counts().values())

    def call(self) -> None:
        job = self._queue.enqueue(self._spec("noop", 0))
        assert self._queue.outcome(job.id, 30).unwrap() == 1
        self._count += 1

    def _spec(self, kind: str, seconds: float, queue: str = "default") -> JobSpec:
        if kind == "noop":
            return JobSpec(kind=NOOPS[queue], args={"number": 1}, project="bench")
        return JobSpec(kind=WAIT if kind == "wait" else SLEEP, args={"seconds": seconds}, project="bench")
