"""From the start to the first answer, warm calls by their parts, and memory; beside the same work without a queue.

python -m benchmarks.first_call [--quick] [--json FILE]

A platform of its own is started on free ports in a temporary home, as a user starts it, and stopped at the end.
"ltmc" is a call over HTTP (REST); "in-process" is the same memory function called directly on the same files,
in turns with it, so that both meet the same machine; "target" is what the project is held to.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import tempfile
import time
from collections import defaultdict
from datetime import datetime
from pathlib import Path
from pydoc_data.topics import topics  # an English text that comes with every Python
from types import SimpleNamespace
from typing import Any

import numpy as np

from benchmarks.installation import MEGABYTE, Api, memory, platform, tree_megabytes
from benchmarks.rows import Rows, Samples
from ltmc_jobs import registry
from ltmc_jobs.memory.memory import Memory
from ltmc_jobs.queues.contract import ANYONE, new_job_id
from ltmc_jobs.queues.envelope import Call
from ltmc_jobs.settings import Settings
from ltmc_jobs.stores.contracts import ChunkText, Document, Edge, Node
from ltmc_jobs.tiers import Tiers
from ltmc_jobs.tools.memory import retrieve_memory, store_memory

TEXT = "\n".join(topics.values())
DOCUMENT = 2000  # characters of a stored document
CHUNKS, CHUNK = 20, 700  # chunks of a document that only fills the memory, characters of each
SIZES = (1_000, 10_000)
BLOCK = 10  # calls over HTTP, then as many in this process, and so on
CLIENTS = 50
STARTS = 5
SETTLING_SECONDS = 6.0  # the jobs that recur run first within 5 s of a start
PARTS = {"embedder": "embed", "vectors": "search", "records": "records", "graph": "graph"}
TOOLS = (store_memory.__name__, retrieve_memory.__name__)


class Timed:
    """A tier that notes how long its methods take."""

    def __init__(self, part: Any, name: str, taken: dict[str, float]) -> None:
        self._part, self._name, self._taken = part, name, taken

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._part, name)
        if not callable(found):
            return found

        def timed(*arguments: Any, **options: Any) -> Any:
            began = time.perf_counter()
            try:
                return found(*arguments, **options)
            finally:
                self._taken[self._name] += time.perf_counter() - began

        return timed


class Texts:
    """Different documents, chunks and questions out of one text, the same in every run."""

    def __init__(self) -> None:
        self._random = random.Random(7)
        self._count = 0

    def cut(self, length: int) -> str:
        start = self._random.randrange(len(TEXT) - length)
        self._count += 1
        return f"{TEXT[start : start + length - 10]} {self._count:09}"

    def question(self) -> str:
        return " ".join(self.cut(80).split()[1:8])


def fill(settings: Settings, tiers: Tiers, texts: Texts, count: int) -> None:
    """Whole documents, linked, up to so many chunks; their vectors are random, which costs a search the same."""
    numbers = np.random.default_rng(count)
    for _ in range((count - tiers.records.count()["chunks"]) // CHUNKS):
        parts = [texts.cut(CHUNK) for _ in range(CHUNKS)]
        chunks = [ChunkText(part, at * CHUNK, at * CHUNK + CHUNK) for at, part in enumerate(parts)]
        whole = Document(
            project=settings.project, file_name=f"{new_job_id()}.md", resource_type="document", content="".join(parts)
        )
        made = tiers.records.record(whole, chunks, job_id=new_job_id())
        vectors = numbers.standard_normal((CHUNKS, 384)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        tiers.records.add_vectors(list(zip(made.chunk_ids, vectors, strict=True)), model=tiers.model)
        tiers.records.publish(made.resource_id, made.version)
        document, ends = ("Document", made.file_name), [("Chunk", str(chunk)) for chunk in made.chunk_ids]
        tiers.graph.merge(
            [Node(made.project, *end) for end in (document, *ends)],
            [Edge(made.project, document, "HAS_CHUNK", end) for end in ends],
        )
        tiers.records.mark_linked(made.resource_id, made.version)
    tiers.vectors.fold()


def in_process(tiers: Tiers, project: str, tool: str, arguments: dict[str, Any], samples: Samples) -> None:
    """The tool's own work without HTTP and queue; for a document then what its following jobs do."""
    taken: defaultdict[str, float] = defaultdict(float)
    parts = {name: Timed(getattr(tiers, name), name, taken) for name in PARTS}
    timed = SimpleNamespace(model=tiers.model, vector_rows=tiers.vector_rows, weights=tiers.weights, **parts)
    memory = Memory(timed, Call(new_job_id(), registry.kind(tool), arguments, project, ANYONE, "", None), {})
    began = time.perf_counter()
    stored = memory.store([arguments]) if tool == "store_memory" else None
    if stored is None:
        memory.retrieve(**arguments)
    samples.add(total=time.perf_counter() - began, **taken)
    if stored is not None:
        version = stored.resource_id, stored.version
        contents = [chunk.content for chunk in tiers.records.version_chunks(*version)]
        vectors = list(zip(stored.vector_ids, tiers.embedder.encode(contents), strict=True))
        tiers.records.add_vectors(vectors, model=tiers.model)
        tiers.records.publish(*version)
        samples.add(**{"until searchable": time.perf_counter() - began})
        tiers.records.mark_linked(*version)


async def over_http(api: Api, tool: str, arguments: dict[str, Any], samples: Samples) -> None:
    """One call, and its job's own times; then wait until what follows is done, so that calls do not meet."""
    asked = arguments | ({"wait_for": "recorded"} if tool == "store_memory" else {})
    began = time.time()
    answer, ended = await api.ask("POST", f"/tools/{tool}", asked)
    if "jobs" in answer:
        for name, job_id in answer["jobs"].items():
            done = (await api.ask("GET", f"/jobs/{job_id}/result?wait=20"))[1]
            samples.add(**{f"until {name}": done - began})
    job = (await api.ask("GET", f"/jobs/{answer['job_id']}"))[0]
    enqueued, started, finished = (
        datetime.fromisoformat(job[name]).timestamp() for name in ("enqueued_at", "started_at", "ended_at")
    )
    samples.add(
        total=ended - began,
        enqueue=enqueued - began,
        queue=started - enqueued + ended - finished,
        run=finished - started,
    )


async def warm_every_worker(settings: Settings, apis: list[Api], texts: Texts, cold: dict[int, int]) -> None:
    """Ask until as many processes have grown by a model as answer questions, so far as that comes.

    `cold` is what each process held, in bytes, before the first call.
    """
    for _ in range(20):
        await asyncio.gather(*(api.ask("POST", "/tools/retrieve_memory", {"query": texts.question()}) for api in apis))
        grown = [pid for pid, taken in memory(settings).items() if taken.uss > cold.get(pid, 0) + 10 * MEGABYTE]
        if len(grown) >= settings.worker_count:
            return


async def cached(apis: list[Api], rounds: int) -> Samples:
    """The same question by all clients at once, over and over."""
    samples, body = Samples(), {"query": "the same question"}
    for _ in range(3):  # every client's connection, and those that the API opens for so many at once
        await asyncio.gather(*(api.ask("POST", "/tools/retrieve_memory", body) for api in apis))

    async def keep_asking(api: Api) -> None:
        for _ in range(rounds):
            began = time.time()
            answer, ended = await api.ask("POST", "/tools/retrieve_memory", body)
            assert answer["cached"]
            samples.add(total=ended - began)

    await asyncio.gather(*map(keep_asking, apis))
    return samples


def compare(rows: Rows, case: str, ours: Samples, direct: Samples) -> None:
    """A call with and without the queue, by parts."""
    for percentile in (50, 95, 99):
        rows.add(case, f"p{percentile}", ours("total", percentile))
    waits = [name for name in ours.taken if name.startswith("until")]
    for name in ("enqueue", "queue", "run", *waits):
        rows.add(case, f"{name} p50", ours(name, 50))
    for percentile in (50, 99):
        rows.add(case, f"p{percentile}", direct("total", percentile), system="in-process")
    for name, shown in (PARTS | {name: name for name in waits}).items():
        if name in direct.taken:
            rows.add(case, f"{shown} p50", direct(name, 50), system="in-process")
    rows.add(case, "p50 / in-process p50", ours("total", 50) / direct("total", 50), "times")


async def measure(settings: Settings, rows: Rows, quick: bool) -> None:
    """All that one started platform tells."""
    texts, apis = Texts(), [Api(settings.http_port) for _ in range(CLIENTS)]
    tiers = Tiers(settings)
    cold = {pid: taken.uss for pid, taken in memory(settings).items()}
    for size in SIZES:
        fill(settings, tiers, texts, size)
        for tool in TOOLS:
            ours, direct = await alternating(settings, tiers, apis[0], tool, texts, 20 if quick else 200)
            case = f"{tool}, {size // 1000}k chunks"
            compare(rows, case, ours, direct)
            if size == max(SIZES):
                model = direct("embedder", 50) if tool == "retrieve_memory" else 0.0
                rows.held(f"P04 {case}", "p95 less the model's p50", ours("total", 95) - model, 200)
                if tool == "retrieve_memory":
                    rows.held(f"P03 vector search, {size // 1000}k chunks", "p95", direct("vectors", 95), 50)
    rows.held(f"P02 cached call, {CLIENTS} clients", "p95", (await cached(apis, 10 if quick else 40))("total", 95), 100)
    await warm_every_worker(settings, apis, texts, cold)
    rows.held("memory of all processes", "after retrieving", tree_megabytes(settings), 1200, "MB")
    for api in apis:
        api.close()
    tiers.close()


async def alternating(
    settings: Settings, tiers: Tiers, api: Api, tool: str, texts: Texts, count: int
) -> tuple[Samples, Samples]:
    """Blocks of calls over HTTP and directly in turns; the first block of each only warms."""
    ours, direct = Samples(), Samples()
    for block in range(count // BLOCK + 1):
        into = (ours, direct) if block else (Samples(), Samples())
        for system in into:
            for _ in range(BLOCK):
                arguments: dict[str, Any] = {"query": texts.question()}
                if tool == "store_memory":
                    arguments = {"file_name": f"{new_job_id()}.md", "content": texts.cut(DOCUMENT)}
                if system is into[0]:
                    await over_http(api, tool, arguments, system)
                else:
                    project = "in-process" if tool == "store_memory" else settings.project
                    in_process(tiers, project, tool, arguments, system)
    return ours, direct


async def first_call(settings: Settings, began: float, started: Samples) -> None:
    """What a user waits for."""
    started.add(command=time.time() - began)
    api = Api(settings.http_port)
    _, ended = await api.ask("POST", "/tools/store_memory", {"file_name": "first.md", "content": "The first call"})
    started.add(answer=ended - began)
    api.close()


def run(quick: bool) -> list[dict[str, Any]]:
    """All rows. The first start writes Python's byte code, beside nobody else's; later ones find it."""
    rows, compiling, started = Rows(), Samples(), Samples()
    with tempfile.TemporaryDirectory() as code:
        os.environ["PYTHONPYCACHEPREFIX"] = code
        with tempfile.TemporaryDirectory() as home, platform(Path(home)) as began:
            settings = Settings.load()
            compiling.add(command=time.time() - began)
            time.sleep(SETTLING_SECONDS)
            rows.add("first start, byte code not written yet", "until healthy", compiling("command", 50) / 1000, "s")
            rows.held("memory of all processes", "idle", tree_megabytes(settings), 500, "MB")
        for left in reversed(range(1 if quick else STARTS)):
            with tempfile.TemporaryDirectory() as home, platform(Path(home)) as began:
                asyncio.run(first_call(Settings.load(), began, started))
                if not left:
                    rows.add("start", "until healthy", started("command", 50) / 1000, "s")
                    rows.add("start", "until the first answer", started("answer", 50) / 1000, "s")
                    asyncio.run(measure(Settings.load(), rows, quick))
    return rows.rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer calls, less than 50 s")
    parser.add_argument("--json", type=Path, help="write the rows there too")
    given = parser.parse_args()
    rows = run(given.quick)
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
