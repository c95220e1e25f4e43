"""Embedding against sentence-transformers: speed, memory, load time, likeness; each in a process of its own.

python -m benchmarks.embedding [--quick] [--json FILE]
"""

from __future__ import annotations

import argparse
import ast
import datetime
import inspect
import json
import logging
import subprocess
import sys
import tempfile
import time
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

QUERIES = ("where is the queue", "what did she say about Rome", "how do I parse arguments", "the error of last week")
SYSTEMS = ("ltmc", "sentence-transformers")
PROCESSES = 4


def chunks(count: int) -> list[str]:
    """Different chunks of 117 to 202 tokens, 183 in the middle, from the standard library's sources."""
    from ltmc_jobs.memory.chunking import split

    modules = (argparse, ast, datetime, inspect, json, logging, subprocess, tempfile, typing)
    cut = [chunk.content for module in modules for chunk in split(inspect.getsource(module))]
    return [text for text in cut if len(text) > 500][:count]


def memory_mb() -> tuple[float, float]:
    """This process's share of memory (PSS) and what is its own alone, in MB."""
    rows = (line.split() for line in Path("/proc/self/smaps_rollup").read_text().splitlines()[1:])
    sizes = {row[0].rstrip(":"): int(row[1]) / 1024 for row in rows}
    return sizes["Pss"], sizes["Private_Clean"] + sizes["Private_Dirty"]


def median_ms(call: Callable[[], Any], times: int) -> float:
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        call()
        taken.append(time.perf_counter() - began)
    return float(np.median(taken)) * 1000


def load(system: str, home: Path) -> Callable[[list[str]], Any]:
    """The system's `encode`, on one thread."""
    if system == "ltmc":
        from ltmc_jobs.llm.embedding import open_embedder
        from ltmc_jobs.settings import Settings

        return open_embedder(Settings.model_construct(home=home)).encode
    import torch
    from sentence_transformers import SentenceTransformer

    from ltmc_jobs.llm import minilm

    torch.set_num_threads(1)
    network = SentenceTransformer(str(minilm.folder()), device="cpu")
    return lambda texts: network.encode(texts, batch_size=8, normalize_embeddings=True, show_progress_bar=False)


def measure(system: str, home: Path, count: int, waiting: bool) -> dict[str, Any]:
    """One process's figures; if `waiting`, it measures its memory when it is told that all others stand."""
    began = time.perf_counter()
    encode = load(system, home)
    encode([QUERIES[0]])
    figures: dict[str, Any] = {"load s": time.perf_counter() - began}
    figures["query p50 ms"] = median_ms(lambda: encode([QUERIES[0]]), 100)
    for query in QUERIES:
        encode([query])
    if waiting:
        print("ready", flush=True)
        sys.stdin.readline()
    figures["PSS MB"], figures["private MB"] = memory_mb()
    if waiting:
        print(json.dumps(figures), flush=True)
        sys.stdin.readline()  # the others' shares would grow if this one left
        return figures
    texts = chunks(count)
    began, worked = time.perf_counter(), time.process_time()
    vectors = encode(texts)
    figures["chunks/s"] = len(texts) / (time.perf_counter() - began)
    figures["chunks/cpu-s"] = len(texts) / (time.process_time() - worked)  # what a busy machine does not change
    figures["PSS MB after chunks"] = memory_mb()[0]
    short = np.concatenate([encode([query]) for query in QUERIES])
    return figures | {"vectors": np.concatenate([vectors, short]).tolist()}


def started(system: str, home: str, count: int, *, waiting: bool) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "benchmarks.embedding", "--one", system, "--home", home, "--count", str(count)]
    return subprocess.Popen(
        command + ["--waiting"] * waiting,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=Path(__file__).parents[1],
    )


def alone(system: str, home: str, count: int) -> dict[str, Any]:
    answer, _ = started(system, home, count, waiting=False).communicate(timeout=600)
    figures: dict[str, Any] = json.loads(answer)
    return figures


def together(system: str, home: str) -> dict[str, float]:
    """Memory of each of four processes that stand at once."""
    running = [started(system, home, 0, waiting=True) for _ in range(PROCESSES)]

    def tell(process: subprocess.Popen[str]) -> None:
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()

    def hear(process: subprocess.Popen[str]) -> str:
        assert process.stdout
        return process.stdout.readline()

    for process in running:
        hear(process)
    for process in running:
        tell(process)
    figures = [json.loads(hear(process)) for process in running]
    for process in running:
        process.communicate("\n", timeout=60)
    return {name: float(np.mean([found[name] for found in figures])) for name in ("PSS MB", "private MB")}


def unit_of(metric: str) -> str:
    return next((unit for unit in ("ms", "MB", "s") if f" {unit}" in metric), metric)


def run(quick: bool) -> list[dict[str, Any]]:
    """Rows of case, system, metric, value, unit."""
    rows: list[dict[str, Any]] = []
    vectors = {}
    count = 64 if quick else 300

    def add(case: str, system: str, metric: str, value: float) -> None:
        rows.append(
            {"case": case, "system": system, "metric": metric, "value": round(value, 6), "unit": unit_of(metric)}
        )

    with tempfile.TemporaryDirectory() as home:
        add("first start", "ltmc", "load s", alone("ltmc", home, 1)["load s"])
        for system in SYSTEMS:
            figures = alone(system, home, count)
            vectors[system] = np.array(figures.pop("vectors"))
            for metric, value in figures.items():
                add("one process", system, metric, value)
            if system == "ltmc" or not quick:
                for metric, value in together(system, home).items():
                    add(f"{PROCESSES} processes", system, metric, value)
    likeness = (vectors[SYSTEMS[0]] * vectors[SYSTEMS[1]]).sum(axis=1)
    rows.append(
        {"case": "likeness", "system": "ltmc", "metric": "min cosine", "value": float(likeness.min()), "unit": "1"}
    )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer chunks, less than 50 s")
    parser.add_argument("--json", type=Path, help="write the rows there too")
    for hidden in ("--one", "--home"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    parser.add_argument("--count", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--waiting", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        figures = measure(given.one, Path(given.home), given.count, given.waiting)
        if not given.waiting:
            print(json.dumps(figures))
        return
    rows = run(given.quick)
    for row in rows:
        print(f"{row['case']:12} {row['system']:22} {row['metric']:20} {row['value']:12.5f} {row['unit']}")
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
