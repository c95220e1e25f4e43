"""Our index beside plain FAISS, usearch and sqlite-vec: searching, adding and keeping 1,000 vectors and more.

python -m benchmarks.vectors [--quick] [--million] [--json FILE] [--rounds N] [--only SYSTEM] [--cache FOLDER]

Each system runs in processes of its own, on one thread: one stores all vectors, another opens what is on the disk,
searches and adds. Ours does what the platform does: the rows are SQLite's, and every hit was looked up as visible.
Vectors are synthetic, 384 numbers each, in topics as texts are; recall is against comparing with all of them.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import shutil
import subprocess
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs

from benchmarks.queue_peers.contenders import ROOT, Environments
from benchmarks.rows import Rows
from benchmarks.vector_peers import vectors
from benchmarks.vector_peers.subjects import CONTENDERS, OURS, Contender

QUERIES, MORE = 300, 1500  # so many are added, that what is put off for several of them is in the mean
UNITS = {
    **dict.fromkeys(("p50", "p95", "conversation p50", "adding one", "adding one, CPU"), "ms"),
    **dict.fromkeys(("memory", "disk"), "MB"),
    **dict.fromkeys(("recall@10", "added and found"), "share"),
    **dict.fromkeys(("searches/s", "stored/s"), "1/s"),
}
Figures = dict[tuple[str, int, str], float]


def run(given: argparse.Namespace) -> list[dict[str, Any]]:
    """All rows."""
    sizes = [1000, 10_000] + ([] if given.quick else [100_000]) + ([1_000_000] if given.million else [])
    wanted = [one for one in CONTENDERS if not given.only or one is OURS or one.name in given.only]
    environments = Environments(given.cache)
    pythons = {one.name: environments.folder(one) / "python" for one in wanted}  # type: ignore[arg-type]
    rows, figures = Rows(), Figures()
    print(f"load average {os.getloadavg()[0]:.1f} at the start, {os.cpu_count()} cores", flush=True)
    for size in sizes:
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            vectors.write(folder, size, QUERIES, MORE)
            taking = [one for one in wanted if size <= one.most]
            for name, metric, value in _measured(taking, pythons, folder, given.rounds):
                figures[name, size, metric] = value
                rows.add(f"{size:,} vectors", metric, value, UNITS[metric], system=name)
    judge(figures, sizes, rows)
    print(f"load average {os.getloadavg()[0]:.1f} at the end; medians of {given.rounds} rounds")
    return rows.rows


def _measured(
    taking: list[Contender], pythons: dict[str, Path], folder: Path, rounds: int
) -> list[tuple[str, str, float]]:
    """Fill each once; then let them search and add in turns, each round on a fresh copy."""
    taken: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    for one in taking:
        home = _home(folder, one)
        for metric, value in _trial(one, pythons, home, "fill").items():
            taken[one.name, metric].append(value)
    for _ in range(rounds):
        for one in taking:
            home = _home(folder, one)
            copied = home.with_name("copied")
            shutil.copytree(home, copied, symlinks=True)
            for metric, value in _trial(one, pythons, copied, "search").items():
                taken[one.name, metric].append(value)
            shutil.rmtree(copied)
    return [(name, metric, float(np.median(values))) for (name, metric), values in taken.items()]


def _home(folder: Path, one: Contender) -> Path:
    """A folder of a system's own, with the vectors in it."""
    home = folder / one.name.replace(" ", "-")
    if not home.exists():
        home.mkdir()
        for file in folder.glob("*.npy"):
            (home / file.name).symlink_to(file)
    return home


def _trial(one: Contender, pythons: dict[str, Path], home: Path, phase: str) -> dict[str, float]:
    command = [str(pythons[one.name]), "-m", "benchmarks.vector_peers.trial", one.name, str(home), phase]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{one.name}, {phase}:\n{done.stderr}")
    found: dict[str, float] = json.loads(done.stdout)
    return found


def judge(figures: Figures, sizes: list[int], rows: Rows) -> None:
    """Ours, with what it is held to, and beside the others."""
    ours = OURS.name
    rows.held("P03 search, 10,000 vectors", "p95", figures[ours, 10_000, "p95"], 50)
    rows.held("search, 10,000 vectors", "p50", figures[ours, 10_000, "p50"], 5)
    rows.held("P07 a hundred at once, 10,000 vectors", "searches/s", figures[ours, 10_000, "searches/s"], 1000, "1/s")
    for size in sizes:
        rows.held(f"recall, {size:,} vectors", "recall@10", figures[ours, size, "recall@10"], 0.98, "share")
        if size > 1000:
            times = figures[ours, size, "adding one, CPU"] / figures[ours, 1000, "adding one, CPU"]
            rows.held(f"adding one, {size:,} vectors", "of its CPU at 1,000", times, 1.5, "times")
        rows.add(f"M11 growth, {size:,} vectors", "disk a vector", figures[ours, size, "disk"] * 1e6 / size, "bytes")
    for less, more in itertools.pairwise(sizes):
        if less >= 100_000:
            times = figures[ours, more, "p50"] / figures[ours, less, "p50"]
            rows.held(f"M11 search, {less:,} to {more:,}", "p50", times, math.log(more) / math.log(less), "times")
    for name, size, metric in figures:
        if name != ours and metric == "p50":
            times = figures[ours, size, metric] / figures[name, size, metric]
            rows.add(f"{size:,} vectors", f"{metric} / {name}'s", times, "times")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--quick", action="store_true", help="up to 10,000 vectors, less than 50 s once all is installed"
    )
    parser.add_argument("--million", action="store_true", help="1,000,000 too: 10 minutes more a round, 10 GB of disk")
    parser.add_argument("--json", type=Path, help="write the rows there too")
    parser.add_argument("--rounds", type=int, help="how often every system takes its turn")
    parser.add_argument("--only", action="append", help="a system beside ours (may be given again); else all")
    cache = Path(platformdirs.user_cache_dir("ltmc")) / "benchmarks"
    parser.add_argument("--cache", type=Path, default=cache, help="where the systems are installed")
    given = parser.parse_args()
    given.rounds = given.rounds or (1 if given.quick else 3)
    rows = run(given)
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
