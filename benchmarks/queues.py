"""Our queue beside stock RQ, Celery, Dramatiq, Huey and saq, all on one server, in turns; then how ours grows.

python -m benchmarks.queues [--quick] [--json FILE] [--rounds N] [--only SYSTEM] [--cache FOLDER] [--data FOLDER]

Every system runs in an environment of its own, installed at the first run under the cache folder, with two worker
processes each, on a Valkey that is started here and emptied between them. What a job does is the same everywhere: it
notes the time in a file. Rates are taken from when both processes work until the last result can be read; jobs that
wait use asyncio or threads where a system has them, twenty at once in each process.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import signal
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import platformdirs

from benchmarks.queue_peers.alone import Alone
from benchmarks.queue_peers.contenders import CONTENDERS, OURS, Environments
from benchmarks.queue_peers.contest import FULL, QUICK, Contest
from benchmarks.queue_peers.figures import Figures
from benchmarks.queue_peers.server import Server
from benchmarks.queue_peers.stand import Stand
from benchmarks.rows import Rows

SIMPLE, WORKER = "rq SimpleWorker", "rq Worker"
# What ours is held to beside one other: case, figure, the other, and at least (or, for times, at most) how many times.
BESIDE = (
    ("drain_noop", "jobs/s", SIMPLE, 30),
    ("round_trip", "p50", SIMPLE, 1 / 3),
    ("round_trip", "p99", SIMPLE, 1 / 3),
    ("round_trip", "p50", "saq", 2 / 3),
    ("round_trip", "p99", "saq", 2 / 3),
    ("enqueue_single", "jobs/s", SIMPLE, 3),
    ("enqueue_bulk", "jobs/s", SIMPLE, 10),
)
BESIDE_FASTEST = (
    ("drain_noop", "jobs/s", 4),
    ("enqueue_single", "jobs/s", 1),
    ("enqueue_bulk", "jobs/s", 1),
    ("round_trip", "p50", 2 / 3),
    ("round_trip", "p99", 2 / 3),
)
BYTES = 1800


def judge(figures: Figures, rows: Rows) -> None:
    """Ours beside the others, with what it is held to."""
    ours, peers = OURS.name, [contender.name for contender in CONTENDERS if contender is not OURS]
    for case, metric, peer, target in BESIDE:
        with suppress(KeyError):
            times = figures.median(ours, case, metric) / figures.median(peer, case, metric)
            rows.held(case, f"{metric} / {peer}'s", times, target, "times")
    for case, metric, target in BESIDE_FASTEST:
        found: dict[str, float] = {}
        for peer in peers:
            with suppress(KeyError):
                found[peer] = figures.median(peer, case, metric)
        if found:
            best = (max if metric == "jobs/s" else min)(found, key=lambda peer: found[peer])
            times = figures.median(ours, case, metric) / found[best]
            rows.held(case, f"{metric} / the fastest peer's ({best})", times, target, "times")
    with suppress(KeyError):
        left = figures.median(ours, "redis_bytes_per_finished_job", "bytes")
        rows.held("redis_bytes_per_finished_job", "bytes", left, BYTES, "bytes")
    plain_rq(figures, rows)


def plain_rq(figures: Figures, rows: Rows) -> None:
    """P14: beside both of RQ's workers; at most a fifth behind."""
    for peer in (WORKER, SIMPLE):
        with suppress(KeyError):
            rate = figures.median(OURS.name, "drain_noop", "jobs/s") / figures.median(peer, "drain_noop", "jobs/s")
            rows.held("P14 beside plain RQ", f"jobs/s / {peer}'s", rate, 0.8, "times")
            for percentile in ("p50", "p99"):
                ours, its = (figures.median(name, "enqueue to start", percentile) for name in (OURS.name, peer))
                rows.held("P14 beside plain RQ", f"enqueue to start {percentile} / {peer}'s", ours / its, 1.2, "times")


def run(given: argparse.Namespace) -> list[dict[str, Any]]:
    """All rows."""
    length = QUICK if given.quick else FULL
    length = dataclasses.replace(length, rounds=given.rounds or length.rounds)
    wanted = [one for one in CONTENDERS if not given.only or one is OURS or one.name in given.only]
    rows, figures, environments = Rows(), Figures(), Environments(given.cache)
    print(f"load average {os.getloadavg()[0]:.1f} at the start, {os.cpu_count()} cores", flush=True)
    for contender in wanted:
        print(f"{contender.name:16} {environments.versions(contender)}", flush=True)
    with tempfile.TemporaryDirectory(dir=given.data) as folder, Server(Path(folder)) as server:
        stands = [Stand(contender, environments, server, Path(folder)) for contender in wanted]
        contest = Contest(stands, length, figures)
        contest.run()
        figures.write(rows)
        judge(figures, rows)
        print(f"\n{figures.table([contender.name for contender in wanted])}\n", flush=True)
        Alone(stands[0], contest, rows, quick=given.quick, rounds=length.rounds).run()
    print(f"load average {os.getloadavg()[0]:.1f} at the end; medians of {length.rounds} rounds")
    return rows.rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one short round, less than 50 s once all is installed")
    parser.add_argument("--json", type=Path, help="write the rows there too")
    parser.add_argument("--rounds", type=int, help="how often every system takes its turn")
    parser.add_argument("--only", action="append", help="a system beside ours (may be given again); else all")
    cache = Path(platformdirs.user_cache_dir("ltmc")) / "benchmarks"
    parser.add_argument("--cache", type=Path, default=cache, help="where the systems are installed")
    parser.add_argument(
        "--data", type=Path, help="on which disk the server keeps its data; else where temporary files are"
    )
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that no server or worker is left behind
    rows = run(given)
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
