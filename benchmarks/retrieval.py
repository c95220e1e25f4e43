"""How well and how fast memory is found: by meaning, by words, by both; beside mcp-memory-service, in one run.

python -m benchmarks.retrieval [--quick] [--json FILE] [--data FOLDER] [--cache FOLDER]

A platform of its own is started as a user starts it, and asked over HTTP; the other system likewise, in an environment
of its own, installed at the first run under the cache folder (never by --quick, which does without it). Both have the
weights of all-MiniLM-L6-v2 and no language model. "ltmc" searches by both signals, as it does by default; "words only"
and "vector only" are the same platform told to use one. Some texts are stored one by one, to see what a store costs
until the text can be found by meaning, the rest as each system does it best. No vector of a question is in a cache.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs

from benchmarks.retrieval_peers import ltmc
from benchmarks.retrieval_peers.cases import Case, Question, Room, read
from benchmarks.retrieval_peers.memory_service import HYBRID, NAME, Environment
from benchmarks.retrieval_peers.own import own
from benchmarks.retrieval_peers.scores import score
from benchmarks.retrieval_peers.server import Server
from benchmarks.rows import Rows, Samples

ROOT = Path(__file__).parents[1]
ALONE = 100  # texts of a case that are stored one by one
BLOCK = 20  # texts or questions, then the next system
WARMING = 10
# What ours is held to: case, way, figure, at least.
TARGETS = (
    ("dialogue", "ltmc", "recall@10", 0.70),
    ("dialogue", "words only", "recall@10", 0.60),
    ("code", "ltmc", "hit@10", 0.90),
    ("code", "ltmc", "MRR@10", 0.69),
    ("documents", "ltmc", "recall@5", 0.94),
)
Figures = dict[tuple[str, str, str], float]  # by case, way, figure


class Contest:
    """One case, stored in all systems and asked of them, in turns, so that they meet the same machine."""

    def __init__(self, case: Case, systems: Sequence[Server]) -> None:
        self._case, self._systems = case, systems
        self._times: defaultdict[str, Samples] = defaultdict(Samples)
        self._scores: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
        self._used: defaultdict[str, float] = defaultdict(float)
        self.figures: Figures = {}

    def store(self, alone: int) -> None:
        """So many texts alone, in turns; then all others, one system after the other."""
        texts = [(room, text) for room in self._case.rooms for text in room.texts]
        for at in range(0, min(alone, len(texts)), BLOCK):
            for system in self._systems:
                for room, text in texts[at : min(at + BLOCK, alone)]:
                    began = time.perf_counter()
                    system.store(room, text)
                    self._times[system.ways[0]].add(store=time.perf_counter() - began)
        for system in self._systems:
            began = time.perf_counter()
            for room, rest in groupby(texts[alone:], key=itemgetter(0)):
                system.store_rest(room, [text for _, text in rest])
            if len(texts) > alone:
                self._note(system.ways[0], "stored/s", (len(texts) - alone) / (time.perf_counter() - began))
            for percentile in (50, 95):
                self._note(system.ways[0], f"store p{percentile}", self._times[system.ways[0]]("store", percentile))
            system.settle()

    def ask(self) -> None:
        """All questions in all ways."""
        asked = [(room, question) for room in self._case.rooms for question in room.questions]
        ways = [(system, way) for system in self._systems for way in system.ways]
        for system, way in ways:
            for number in range(WARMING):
                room = self._case.rooms[number % len(self._case.rooms)]
                system.ask(way, room, f"the first thing that was said, number {number} for {way}")
        for at in range(0, len(asked), BLOCK):
            for system, way in ways:
                self._ask(system, way, asked[at : at + BLOCK])
        for _, way in ways:
            for percentile in (50, 95):
                self._note(way, f"search p{percentile}", self._times[way]("search", percentile))
            self._note(way, "CPU per query", self._used[way] / len(asked) * 1000)
        for (way, metric), values in self._scores.items():
            self._note(way, metric, float(np.mean(values)))

    def _ask(self, system: Server, way: str, asked: Sequence[tuple[Room, Question]]) -> None:
        system.forget_answers()
        used = system.cpu_seconds()
        for room, question in asked:
            found, seconds = system.ask(way, room, question.text)
            self._times[way].add(search=seconds)
            for metric, value in score(self._case, question, found).items():
                self._scores[way, metric].append(value)
        self._used[way] += system.cpu_seconds() - used

    def _note(self, way: str, metric: str, value: float) -> None:
        self.figures[self._case.name, way, metric] = value


def _unit(metric: str) -> str:
    if metric == "stored/s":
        return "1/s"
    return "share" if "@" in metric else "ms"


def judge(figures: Figures, rows: Rows) -> None:
    """Ours, with what it is held to, and beside the other system."""
    for case, way, metric, target in TARGETS:
        if (case, way, metric) in figures:
            name = case if way == "ltmc" else f"{case}, {way}"
            rows.held(name, metric, figures[case, way, metric], target, "share")
    for case, way, metric in list(figures):
        if way not in (NAME, HYBRID) or metric in ("stored/s", "hit@5", "hit@10") or not figures[case, way, metric]:
            continue
        times = figures[case, "ltmc", metric] / figures[case, way, metric]
        rows.held(f"{case}, beside {way}", metric, times, 1.0, "times")


def run(given: argparse.Namespace) -> list[dict[str, Any]]:
    """All rows."""
    cases = [*(read(given.data, quick=given.quick) if given.data else []), own()]
    rows, figures, environment = Rows(), Figures(), Environment(given.cache)
    print(f"load average {os.getloadavg()[0]:.1f} at the start, {os.cpu_count()} cores", flush=True)
    with ExitStack() as stack:
        ours = stack.enter_context(ltmc.running(_folder(stack)))
        systems: list[Server] = [ours]
        if environment.is_there or (not given.quick and environment.install()):
            systems.append(stack.enter_context(environment.running(_folder(stack))))
        for case in cases:
            # The other's stores take half a minute for a thousand texts.
            contest = Contest(case, systems if not given.quick or case is cases[0] else [ours])
            contest.store(20 if given.quick else ALONE)
            contest.ask()
            figures |= contest.figures
            for (name, way, metric), value in contest.figures.items():
                if value:
                    rows.add(name, metric, value, _unit(metric), system=way)
    judge(figures, rows)
    print(f"load average {os.getloadavg()[0]:.1f} at the end")
    return rows.rows


def _folder(stack: ExitStack) -> Path:
    return Path(stack.enter_context(tempfile.TemporaryDirectory()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a part of each set, less than 50 s")
    parser.add_argument("--json", type=Path, help="write the rows there too")
    beside = ROOT.parent / "shared" / "data"
    parser.add_argument(
        "--data", type=Path, default=beside if beside.is_dir() else None, help="where the public sets are"
    )
    cache = Path(platformdirs.user_cache_dir("ltmc")) / "benchmarks"
    parser.add_argument("--cache", type=Path, default=cache, help="where the other system is installed")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that no server is left behind
    rows = run(given)
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
