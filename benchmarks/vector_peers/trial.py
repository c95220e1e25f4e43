"""One system, measured in a process of its own: `python -m benchmarks.vector_peers.trial NAME FOLDER fill|search`."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import psutil

from benchmarks.vector_peers.subjects import CONTENDERS, Ltmc, Subject
from benchmarks.vector_peers.vectors import NEAREST

AT_ONCE = 100
LOOKED_UP = 300
MEGABYTE = 1e6
CLOCKS = (time.perf_counter, time.process_time)


def fill(subject: Subject, folder: Path) -> dict[str, float]:
    """How long storing all takes, and what it leaves on the disk."""
    stored = np.load(folder / "stored.npy", mmap_mode="r")
    before = _on_disk(folder)
    started = time.perf_counter()
    subject.fill(np.array(stored))
    seconds = time.perf_counter() - started
    return {"stored/s": len(stored) / seconds, "disk": (_on_disk(folder) - before) / MEGABYTE}


def search(subject: Subject, folder: Path) -> dict[str, float]:
    """A process that searches what is there, and then adds."""
    asked, nearest, more = (np.load(folder / f"{name}.npy") for name in ("asked", "nearest", "more"))
    rows = np.load(folder / "stored.npy", mmap_mode="r").shape[0]
    before = _memory()
    subject.open()
    subject.search(asked[0])
    taken, hits = [], 0
    for query, true in zip(asked, nearest.tolist(), strict=True):
        started = time.perf_counter()
        found = subject.search(query)
        taken.append(time.perf_counter() - started)
        hits += len(set(found) & set(true))
    figures = {f"p{part}": float(np.percentile(taken, part)) * 1000 for part in (50, 95)}
    figures["recall@10"] = hits / (len(asked) * NEAREST)
    figures["memory"] = (_memory() - before) / MEGABYTE
    started = time.perf_counter()
    rounds = 0
    while time.perf_counter() - started < 1.0:
        subject.search_many(asked[:AT_ONCE])
        rounds += 1
    figures["searches/s"] = rounds * len(asked[:AT_ONCE]) / (time.perf_counter() - started)
    if isinstance(subject, Ltmc):
        figures["conversation p50"] = _median_ms(lambda query: subject.search_conversation(query), asked)
    return figures | _add(subject, rows, more)


def _add(subject: Subject, rows: int, more: np.ndarray) -> dict[str, float]:
    """One at a time, and whether each is found; the mean holds what is put off for several and then done."""
    subject.add(rows, more[0])
    started, worked = time.perf_counter(), time.process_time()
    for n, vector in enumerate(more[1:], 1):
        subject.add(rows + n, vector)
    mean, cpu = ((clock() - begun) / (len(more) - 1) for clock, begun in zip(CLOCKS, (started, worked), strict=True))
    found = sum(subject.search(vector)[0] == rows + n for n, vector in enumerate(more[:LOOKED_UP]))
    return {"adding one": mean * 1000, "adding one, CPU": cpu * 1000, "added and found": found / LOOKED_UP}


def _median_ms(act: object, asked: np.ndarray) -> float:
    taken = []
    for query in asked:
        started = time.perf_counter()
        act(query)  # type: ignore[operator]
        taken.append(time.perf_counter() - started)
    return float(np.median(taken)) * 1000


def _memory() -> int:
    return int(psutil.Process().memory_full_info().pss)


def _on_disk(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def main() -> None:
    name, folder, phase = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    kind = next(one.kind for one in CONTENDERS if one.name == name)
    print(json.dumps({"fill": fill, "search": search}[phase](kind(folder), folder)))


if __name__ == "__main__":
    main()
