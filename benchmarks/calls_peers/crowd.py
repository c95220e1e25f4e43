"""Many at once on the platform: open connections, callers that wait, a mixture of calls; and what waiting costs."""

from __future__ import annotations

import asyncio
import itertools
import resource
import time
from typing import Any

import psutil

from benchmarks.calls_peers.connection import Connection
from benchmarks.calls_peers.load import Calls, Taken, Target, put
from benchmarks.calls_peers.systems import cpu_of
from benchmarks.calls_peers.wires import over_json_rpc, request
from benchmarks.installation import processes
from benchmarks.rows import Rows, Samples
from ltmc_jobs.settings import Settings
from ltmc_jobs.shared import Shared

CONNECTIONS, CALLERS, CLIENTS = 1000, 100, 50
ASKING = 20  # of the open connections, at a time
FILES = 4096
HEALTH = request("/health")
QUIET_SECONDS = 1.0  # what opening them has caused is over


async def connect(port: int) -> list[Connection]:
    """A thousand open connections; one that is refused ends the benchmark."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(FILES, hard)), hard))
    return [await Connection.open(port) for _ in range(CONNECTIONS)]


async def health(target: Target, rows: Rows) -> None:
    """P05: each of a thousand open connections asks for /health, twenty at a time."""
    connections, samples = await connect(target.port), Samples()
    left = iter(connections)

    async def keep_asking() -> None:
        for connection in left:
            asked = time.perf_counter()
            status, _ = await connection.ask(HEALTH)
            assert status == 200
            samples.add(total=time.perf_counter() - asked)

    await asyncio.gather(*(keep_asking() for _ in range(ASKING)))
    case = f"P05 {CONNECTIONS:,} open connections"
    rows.held(case, "connections answered", len(samples.taken["total"]), CONNECTIONS, "")
    rows.held(case, "/health p99", samples("total", 99), 500)
    for connection in connections:
        connection.close()


async def mixture(target: Target, rows: Rows, calls: Calls, seconds: float) -> None:
    """P06: fifty clients, all kinds of calls, not one refused."""
    taken = Taken()
    await put(target, over_json_rpc, calls, CLIENTS, seconds, taken)
    case = f"P06 mixture, {CLIENTS} clients"
    rows.held(case, "calls/s", taken.rate, 100, "1/s")
    rows.held(case, "answered without an error", 100 * (1 - taken.refused / taken.calls), 100, "%")
    taken.write(rows, case, target.name)


async def waiting(target: Target, settings: Settings, shared: Shared, rows: Rows, seconds: float) -> None:
    """A thousand idle connections and a hundred callers whose jobs do not start, beside nobody at all."""
    await _watch(settings, shared, rows, "nobody there", seconds)
    shared.queue.pause("low", "the benchmark lets callers wait")
    connections = await connect(target.port)
    callers = [await Connection.open(target.port) for _ in range(CALLERS)]
    numbers = itertools.count()
    calls = [
        asyncio.create_task(over_json_rpc(caller, "answer_later", {"number": next(numbers)})) for caller in callers
    ]
    await _watch(settings, shared, rows, f"{CONNECTIONS:,} idle connections, {CALLERS} waiting callers", seconds)
    shared.queue.resume("low")
    await asyncio.gather(*calls)
    for connection in (*connections, *callers):
        connection.close()


async def _watch(settings: Settings, shared: Shared, rows: Rows, case: str, seconds: float) -> None:
    await asyncio.sleep(QUIET_SECONDS)
    used = cpu_of(lambda: [_front_end(settings)])
    before: Any = shared.redis.info("stats")
    spent, began = used(), time.perf_counter()
    await asyncio.sleep(seconds)
    taken = time.perf_counter() - began
    after: Any = shared.redis.info("stats")
    commands, reads = (after[name] - before[name] for name in ("total_commands_processed", "total_reads_processed"))
    rows.add(case, "Redis commands/s, in scripts too", commands / taken, "1/s")
    rows.add(case, "reads by Redis/s", reads / taken, "1/s")
    rows.add(case, "CPU of the front end", max(used() - spent, 0.001) / taken * 100, "%")


def _front_end(settings: Settings) -> psutil.Process:
    return next(one for one in processes(settings) if one.cmdline()[1:3] == ["-m", "api"])
