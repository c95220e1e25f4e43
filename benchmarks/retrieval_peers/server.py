"""A server that takes part: one kept-alive connection, and what its processes have used of the processor."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol

import psutil

from benchmarks.retrieval_peers.cases import Room, Span, Text

IDLE_SECONDS = 2.0  # servers close a connection that is not used for five


class Server(Protocol):
    """A running system. Its ways to search are asked in turns; the first is the one that is held to something."""

    ways: Sequence[str]

    def store(self, room: Room, text: Text) -> None:
        """Store one text; it can be found when this returns."""

    def store_rest(self, room: Room, texts: Sequence[Text]) -> None:
        """Store many as the system does it best; they can be found when this returns."""

    def ask(self, way: str, room: Room, question: str) -> tuple[list[Span], float]:
        """Ten passages, best first, and the seconds that the answer took."""

    def settle(self) -> None:
        """Wait until nothing is left to be done for what was stored."""

    def forget_answers(self) -> None:
        """So that a question that was asked before costs as much again."""

    def cpu_seconds(self) -> float:
        """What all of its processes have used so far."""


class Connection:
    """One kept-alive connection; whatever is not answered with 200 ends the benchmark."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("localhost", port, timeout=120)
        self._asked = 0.0

    def ask(self, method: str, path: str, body: Any = None) -> tuple[dict[str, Any], float]:
        """The answer, and the seconds that it took."""
        content = None if body is None else json.dumps(body).encode()
        began = time.perf_counter()
        if began - self._asked > IDLE_SECONDS:
            self._connection.close()
        self._connection.request(method, path, content, {"Content-Type": "application/json"})
        response = self._connection.getresponse()
        answered = response.read()
        self._asked = time.perf_counter()
        took = self._asked - began
        if response.status != 200:
            raise SystemExit(f"{method} {path}: {response.status}: {answered.decode()[:500]}")
        found: dict[str, Any] = json.loads(answered)
        return found, took

    def close(self) -> None:
        self._connection.close()


def cpu_seconds(processes: Callable[[], Sequence[psutil.Process]]) -> float:
    """The processor time of processes that live."""
    total = 0.0
    for process in processes():
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system
    return total
