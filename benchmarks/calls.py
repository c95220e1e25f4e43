"""Calls over JSON-RPC and MCP from 1 and 50 clients, beside a bare FastAPI route and FastMCP with Docket.

python -m benchmarks.calls [--quick] [--json FILE] [--rounds N] [--cache FOLDER]

P02 a cached call, P04 storing and retrieving 2 kB at 10k chunks, P05 a thousand open connections, P06 a mixture of
calls, P08 Redis operations through our client layer; what idle connections and waiting callers cost; and a short call
end to end, through front end, queue and worker, beside FastMCP's plain tool and its small task in Docket, until its
result is there. All run on this machine, in one run, and take turns. Processor time is that of all processes of a
system, Redis and what follows from the calls included.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import itertools
import json
import os
import random
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs

from benchmarks.calls_peers import client_layer, crowd, systems
from benchmarks.calls_peers.load import Calls, Taken, Target, put, warm
from benchmarks.calls_peers.systems import BARE, DOCKET, DOCKET_RESTLESS, FASTMCP, OURS
from benchmarks.calls_peers.wires import FIRST_PAUSE_SECONDS, Wire, by_task, over_json_rpc, over_mcp
from benchmarks.first_call import DOCUMENT, Texts, fill
from benchmarks.rows import Rows
from ltmc_jobs.queues.contract import new_job_id
from ltmc_jobs.settings import Settings
from ltmc_jobs.shared import Shared
from ltmc_jobs.tiers import Tiers

CHUNKS = 10_000
WIRES: dict[str, Wire] = {"JSON-RPC": over_json_rpc, "MCP": over_mcp}
SHORT, CACHED = "short tool", "cached call"
STORED, RETRIEVED = "store_memory", "retrieve_memory"
MIXTURE = {  # of a hundred calls
    SHORT: 30,
    CACHED: 30,
    "add_todo": 20,
    RETRIEVED: 15,
    f"{STORED}, recorded": 4,
    f"{STORED}, searchable": 1,
}
TASKS = {DOCKET: by_task(FIRST_PAUSE_SECONDS), DOCKET_RESTLESS: by_task(0.0)}


@dataclass(frozen=True)
class Length:
    """How long it goes on."""

    rounds: int
    seconds: float  # of each case in each round
    mixture_seconds: float
    watch_seconds: float
    many: int = 50  # clients, where it is not one


FULL = Length(rounds=3, seconds=2.0, mixture_seconds=60.0, watch_seconds=12.0)
QUICK = Length(rounds=1, seconds=0.3, mixture_seconds=1.0, watch_seconds=1.0, many=8)


class Asked:
    """What is asked: each call with arguments of its own, so that none joins another's job or finds its answer kept."""

    def __init__(self) -> None:
        self._texts = Texts()
        self._numbers = itertools.count()
        self.cases: dict[str, Callable[[], tuple[str, dict[str, Any]]]] = {
            SHORT: lambda: ("answer_at_once", {"number": next(self._numbers)}),
            CACHED: lambda: (RETRIEVED, {"query": "the same question"}),
            "add_todo": lambda: ("add_todo", {"title": f"number {next(self._numbers)}"}),
            RETRIEVED: lambda: (RETRIEVED, {"query": self._texts.question()}),
            f"{STORED}, recorded": lambda: self._stored("recorded"),
            f"{STORED}, searchable": lambda: self._stored("searchable"),
        }

    def calls(self, case: str) -> Calls:
        while True:
            yield self.cases[case]()

    def mixture(self) -> Calls:
        """By MIXTURE, in an order that is the same in every run."""
        chance = random.Random(11)
        while True:
            yield self.cases[chance.choices(tuple(MIXTURE), tuple(MIXTURE.values()))[0]]()

    def by_task(self) -> Calls:
        return (("answer_by_task", arguments) for _, arguments in self.calls(SHORT))

    def _stored(self, goal: str) -> tuple[str, dict[str, Any]]:
        content = self._texts.cut(DOCUMENT)
        return STORED, {"file_name": f"{new_job_id()}.md", "content": content, "wait_for": goal}


@dataclass(frozen=True)
class Case:
    """One system's, in each round once."""

    name: str
    system: str
    target: Target
    wire: Wire
    calls: Calls
    clients: int


def cases(targets: dict[str, Target], asked: Asked, many: int) -> list[Case]:
    """All, those that are to be compared one after the other."""
    found = []
    for clients in (1, many):
        for wire_name, wire in WIRES.items():
            where = f"{clients} client{'s' if clients > 1 else ''}, {wire_name}"
            peer = BARE if wire is over_json_rpc else FASTMCP
            for name in asked.cases:
                found.append(Case(f"{name}, {where}", OURS, targets[OURS], wire, asked.calls(name), clients))
                if name == SHORT and peer in targets:
                    found.append(Case(f"{name}, {where}", peer, targets[peer], wire, asked.calls(name), clients))
            if peer == FASTMCP and peer in targets:
                for system, by in TASKS.items():
                    case = Case(f"{SHORT}, {where}", system, targets[FASTMCP], by, asked.by_task(), clients)
                    found.insert(-len(asked.cases), case)
    return found


def judge(taken: dict[tuple[str, str], Taken], model_ms: float, many: int, rows: Rows) -> None:
    """Ours beside what it is held to."""
    for wire in WIRES:
        kept = taken[f"{CACHED}, {many} clients, {wire}", OURS]
        rows.held(f"P02 {CACHED}, {many} clients, {wire}", "p95", kept.samples("total", 95), 100)
        for name, less in ((RETRIEVED, model_ms), (f"{STORED}, recorded", 0.0)):
            p95 = taken[f"{name}, 1 client, {wire}", OURS].samples("total", 95)
            rows.held(f"P04 {name}, {wire}", "p95 less the model's p50", p95 - less, 200)
    for clients in ("1 client", f"{many} clients"):
        ours = taken[f"{SHORT}, {clients}, MCP", OURS]
        for system in TASKS:
            its = taken.get((f"{SHORT}, {clients}, MCP", system))
            if its is not None:
                of = f"{SHORT}, {clients}, MCP"
                rows.held(of, f"p50 / {system}'s", ours.samples("total", 50) / its.samples("total", 50), 1, "times")
                rows.held(of, f"calls/s / {system}'s", ours.rate / its.rate, 1, "times")


def model_milliseconds(tiers: Tiers, texts: Texts) -> float:
    """The model's part of a search."""
    taken = []
    for _ in range(30):
        question, began = texts.question(), time.perf_counter()
        tiers.embedder.encode([question])
        taken.append((time.perf_counter() - began) * 1000)
    return statistics.median(taken)


async def measure(
    targets: dict[str, Target], settings: Settings, shared: Shared, rows: Rows, length: Length, model_ms: float
) -> None:
    """Everything that needs running servers."""
    asked = Asked()
    await warm(
        targets[OURS], over_json_rpc, asked.calls(RETRIEVED), 4 * settings.worker_count
    )  # each worker has its model
    found = cases(targets, asked, length.many)
    began = time.monotonic()
    taken = {(case.name, case.system): Taken() for case in found}
    for _ in range(length.rounds):
        for case in found:
            into = taken[case.name, case.system]
            await put(case.target, case.wire, case.calls, case.clients, length.seconds, into)
            print(f"… {time.monotonic() - began:5.1f} s  {case.name}, {case.system}", flush=True)
    for (name, system), one in taken.items():
        if one.refused:
            raise SystemExit(f"{name}, {system}: {one.refused} of {one.calls} calls were refused")
        one.write(rows, name, system)
    judge(taken, model_ms, length.many, rows)
    await crowd.health(targets[OURS], rows)
    await crowd.mixture(targets[OURS], rows, asked.mixture(), length.mixture_seconds)
    await crowd.waiting(targets[OURS], settings, shared, rows, length.watch_seconds)


def run(given: argparse.Namespace) -> list[dict[str, Any]]:
    """All rows."""
    length, rows = QUICK if given.quick else FULL, Rows()
    rounds = given.rounds or length.rounds
    length = dataclasses.replace(length, rounds=rounds)
    environment = systems.Environment(given.cache)
    print(f"load average {os.getloadavg()[0]:.1f} at the start, {os.cpu_count()} cores", flush=True)
    with tempfile.TemporaryDirectory() as home, ExitStack() as stack:
        target, settings, shared = stack.enter_context(systems.ours(Path(home)))
        targets = {OURS: target, BARE: stack.enter_context(systems.bare())}
        if environment.is_there or environment.install():
            targets[FASTMCP] = stack.enter_context(systems.fastmcp(environment))
        tiers, texts = Tiers(settings), Texts()
        fill(settings, tiers, texts, CHUNKS)
        model_ms = model_milliseconds(tiers, texts)
        tiers.close()
        rows.add("the model's part of a search", "p50", model_ms, system="in-process")
        asyncio.run(measure(targets, settings, shared, rows, length, model_ms))
        client_layer.measure(settings, shared, rows, 0.3 if given.quick else 3.0)
    print(f"load average {os.getloadavg()[0]:.1f} at the end; {rounds} rounds of {length.seconds:g} s a case")
    return rows.rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one short round, less than 50 s once all is installed")
    parser.add_argument("--json", type=Path, help="write the rows there too")
    parser.add_argument("--rounds", type=int, help="how often every case takes its turn")
    cache = Path(platformdirs.user_cache_dir("ltmc")) / "benchmarks"
    parser.add_argument("--cache", type=Path, default=cache, help="where FastMCP is installed")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that no server is left behind
    rows = run(given)
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
