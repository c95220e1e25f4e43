"""Many processes store at once onto an index that is large already: nothing is lost, doubled or mixed up."""

from __future__ import annotations

import subprocess
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from ltmc_jobs.llm import minilm
from ltmc_jobs.stores.contracts import ChunkText, Document, Records, Scope
from ltmc_jobs.tiers import Tiers
from tests.acceptance.conftest import Platform
from tests.acceptance.front import settings_of
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]

STORING = """if True:
    import sys
    import httpx
    url, project, name, count = *sys.argv[1:4], int(sys.argv[4])
    done = 0
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as web:
        for n in range(count):
            said = f"Client {name} put parcel {n} on shelf {n * 7 % 31}."
            given = {"file_name": f"{name}/{n}.md", "content": said, "wait_for": "recorded"}
            answer = web.post(f"/tools/store_memory?wait=45&project={project}", json=given)
            done += answer.status_code == 200 and answer.json()["success"] is True
    print(done)
"""


@dataclass(frozen=True)
class Crowd:
    """So many processes, each with so many documents, onto so many vectors."""

    processes: int
    stores: int
    vectors: int

    @property
    def total(self) -> int:
        return self.processes * self.stores


@pytest.mark.parametrize(
    "crowd",
    [
        pytest.param(Crowd(4, 25, 2000), id="few"),
        pytest.param(Crowd(8, 200, 20_000), id="many", marks=[pytest.mark.slow, pytest.mark.timeout(600)]),
    ],
)
def test_m05_many_processes_store_at_once(platform: Platform, crowd: Crowd) -> None:
    """M05: every store succeeds, there is one vector for each chunk, and each is the one of its own text."""
    project = f"crowd-{uuid.uuid4().hex[:8]}"
    tiers = Tiers(settings_of(platform))
    fill(tiers.records, project, crowd.vectors)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", STORING, platform.url, project, f"c{n}", str(crowd.stores)],
            stdout=subprocess.PIPE, cwd=ROOT, text=True,
        )
        for n in range(crowd.processes)
    ]  # fmt: skip
    succeeded = sum(int(process.communicate(timeout=500)[0]) for process in processes)
    assert succeeded == crowd.total
    wanted, seconds = crowd.vectors + crowd.total, 60 + crowd.total / 10
    wait_until(lambda: len(tiers.records.in_scope(Scope(project), limit=wanted) or ()) == wanted, seconds)
    check(tiers, project, crowd)
    tiers.close()


def fill(records: Records, project: str, count: int) -> None:
    """Vectors that are there already, as the jobs write them; the model is spared the work."""
    numbers = np.random.default_rng(5).standard_normal((count, minilm.DIMENSION)).astype(np.float32)
    document = Document(project=project, file_name="before.md", content="x" * count)
    version = records.record(document, [ChunkText("x", n, n + 1) for n in range(count)], job_id=uuid.uuid4().hex)
    records.add_vectors(list(zip(version.chunk_ids, numbers, strict=True)), model=minilm.MODEL)
    assert records.publish(version.resource_id, version.version)


def check(tiers: Tiers, project: str, crowd: Crowd) -> None:
    """Rows, texts, vectors and index say the same."""
    rows = tiers.records.vectors_after(0, project=project)
    vectors = {row.chunk_id: row.vector for row in rows}
    assert len(rows) == len(vectors) == crowd.vectors + crowd.total
    assert tiers.records.searchable(vectors, scope=Scope(project)) == vectors.keys()
    own = [chunk for chunk in tiers.records.chunks(vectors).values() if chunk.file_name != "before.md"]
    assert len({chunk.file_name for chunk in own}) == len(own) == crowd.total
    made = tiers.embedder.encode([chunk.text for chunk in own])
    likeness = [float(vector @ vectors[chunk.chunk_id]) for chunk, vector in zip(own, made, strict=True)]
    assert min(likeness) > 0.999, "no vector is another text's"
    # What the index answers to a chunk's own vector is that chunk, before and among the new ones.
    asked = [chunk.chunk_id for chunk in own] + [row.chunk_id for row in rows[: crowd.vectors : 20]]
    found = tiers.vectors.search_many(np.stack([vectors[chunk] for chunk in asked]), scope=Scope(project), k=1)
    assert [hits[0].chunk_id for hits in found] == asked
    tiers.vectors.check()
