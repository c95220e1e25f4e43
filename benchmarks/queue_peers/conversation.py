"""The producer of a system, in its own environment: told what to do in lines of JSON, answers in lines of JSON.

python -m benchmarks.queue_peers.conversation SYSTEM
"""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import sys
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any, Protocol

BATCH = 1000  # jobs of a bulk


class Producer(Protocol):
    """What a system's file offers; any of it may be a coroutine function. `kind` is noop, wait (seconds) or reply."""

    def prepare(self) -> Any:
        """The server is empty: what must be there before a worker starts."""

    def enqueue(self, kind: str, count: int, seconds: float) -> Any:
        """One by one."""

    def enqueue_bulk(self, kind: str, count: int, seconds: float) -> Any:
        """The system's best way to enqueue many."""

    def left(self) -> Any:
        """How many jobs of those enqueued here have no result that a caller could read."""

    def call(self) -> Any:
        """Enqueue one no-op job and wait for its result, the best way that the system has."""


def converse(producer: Any) -> None:
    """Answer until the other side hangs up."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a library prints is no answer
    with asyncio.Runner() as runner:

        def run(function: Callable[..., Any], *arguments: Any) -> Any:
            result = function(*arguments)
            return runner.run(_awaited(result)) if inspect.isawaitable(result) else result

        for line in sys.stdin:
            word, *arguments = json.loads(line)
            if word == "calls":
                answer = run(
                    _calls_async if inspect.iscoroutinefunction(producer.call) else _calls, producer, *arguments
                )
            else:
                began, worked = time.perf_counter(), time.process_time()
                result = run(getattr(producer, word), *arguments)
                taken = {"seconds": time.perf_counter() - began, "cpu": time.process_time() - worked}
                answer = taken | {"result": result if isinstance(result, int | float) else None}
            answers.write(json.dumps(answer) + "\n")


async def _awaited(result: Any) -> Any:
    return await result


def _calls(producer: Any, count: int) -> list[tuple[float, float]]:
    """When each call began (monotonic), and how long it took until its result was here."""
    taken = []
    for _ in range(count):
        began = time.monotonic()
        producer.call()
        taken.append((began, time.monotonic() - began))
    return taken


async def _calls_async(producer: Any, count: int) -> list[tuple[float, float]]:
    taken = []
    for _ in range(count):
        began = time.monotonic()
        await producer.call()
        taken.append((began, time.monotonic() - began))
    return taken


if __name__ == "__main__":
    converse(import_module(f"benchmarks.queue_peers.{sys.argv[1]}").Producer())
