"""Load: so many clients that call without a pause, the times of their calls, and what the systems spend meanwhile."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from benchmarks.calls_peers.connection import Connection
from benchmarks.calls_peers.wires import Refused, Wire
from benchmarks.rows import Rows, Samples

Calls: TypeAlias = Iterator[tuple[str, dict[str, Any]]]  # tool and arguments, one call after the other


WARMING = 4  # calls of each case that do not count


@dataclass
class Taken:
    """What one case took so far, over all its rounds."""

    samples: Samples = field(default_factory=Samples)
    calls: int = 0
    refused: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0

    def write(self, rows: Rows, case: str, system: str) -> None:
        for percentile in (50, 95, 99):
            rows.add(case, f"p{percentile}", self.samples("total", percentile), system=system)
        rows.add(case, "calls/s", self.rate, "1/s", system=system)
        rows.add(case, "CPU per call", self.cpu_seconds / self.calls * 1000, "ms", system=system)

    @property
    def rate(self) -> float:
        return self.calls / self.seconds


@dataclass(frozen=True)
class Target:
    """A running system: its port, what its processes have used of the processor, and how to wait until it is done."""

    name: str
    port: int
    cpu_seconds: Callable[[], float]
    settle: Callable[[], None] = lambda: None


async def warm(target: Target, wire: Wire, calls: Calls, clients: int) -> None:
    """One call of each client, and what follows from it."""
    connections = [await Connection.open(target.port) for _ in range(clients)]
    first = itertools.islice(calls, clients)
    await asyncio.gather(*(wire(one, *call) for one, call in zip(connections, first, strict=True)))
    for connection in connections:
        connection.close()
    target.settle()


async def put(target: Target, wire: Wire, calls: Calls, clients: int, seconds: float, taken: Taken) -> None:
    """Let clients call for so long, after a few calls that only warm."""
    await warm(target, wire, calls, min(clients, WARMING))
    connections = [await Connection.open(target.port) for _ in range(clients)]  # an idle one would have been closed
    spent, began = target.cpu_seconds(), time.perf_counter()

    async def keep_calling(connection: Connection) -> None:
        while (asked := time.perf_counter()) < began + seconds:
            try:
                await wire(connection, *next(calls))
            except Refused:
                if taken.refused == 0 and taken.calls == 0:
                    raise  # nothing works: say why
                taken.refused += 1
            taken.samples.add(total=time.perf_counter() - asked)
            taken.calls += 1

    await asyncio.gather(*map(keep_calling, connections))
    taken.seconds += time.perf_counter() - began
    target.settle()  # what follows from the calls is theirs
    taken.cpu_seconds += target.cpu_seconds() - spent
    for connection in connections:
        connection.close()
