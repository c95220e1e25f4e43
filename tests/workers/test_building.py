"""Building: an index that has outgrown a fold is rebuilt by a job of its own, once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from ltmc_jobs.queues.contract import JobStatus
from ltmc_jobs.services import Services
from ltmc_jobs.settings import Settings
from ltmc_jobs.stores.contracts import ChunkText, Document, Scope
from tests.fleet import WorkerProcesses, open_installation
from tests.waiting import wait_until
from workers.jobs import cleanup
from workers.jobs.indexing import send_builds

CHUNKS = 1100  # a segment of so many is asked how many of them still live


@pytest.fixture
def services(settings: Settings) -> Iterator[Services]:
    made = Services.open(open_installation(settings))
    yield made
    made.close()


def store(services: Services, chunks: int) -> None:
    """A newer version of one document, of so many chunks."""
    document = Document(project="default", file_name="a.md", content="x" * chunks)
    cut = [ChunkText("x", n, n + 1) for n in range(chunks)]
    version = services.tiers.records.record(document, cut, job_id=f"{chunks}")
    vectors = np.random.default_rng(1).standard_normal((chunks, 384)).astype(np.float32)
    services.tiers.records.add_vectors(list(zip(version.chunk_ids, vectors, strict=True)), model=services.tiers.model)
    assert services.tiers.records.publish(version.resource_id, version.version)
    services.tiers.vectors.fold("default")


def test_the_sweep_has_an_index_rebuilt(services: Services, settings: Settings) -> None:
    """M11: the job is sent once, runs in a process of its own, and searches find the same before and after."""
    store(services, CHUNKS)
    assert send_builds(services) == 0
    store(services, 3)
    asked = np.ones(384, np.float32)
    before = services.tiers.vectors.search(asked, scope=Scope("default"), k=9)
    assert services.tiers.vectors.count() > CHUNKS
    assert cleanup.resume_unfinished(services)["builds"] == 1
    assert send_builds(services) == 1, "it is still due"
    (job,) = [info for info in services.shared.queue.list(queue="maintenance") if info.name == "build_index"]
    fleet = WorkerProcesses(settings)
    fleet.start("maintenance")
    wait_until(lambda: services.shared.queue.status(job.id).status == JobStatus.FINISHED, 40)
    fleet.stop()
    assert services.tiers.vectors.count() == 3
    assert services.tiers.vectors.search(asked, scope=Scope("default"), k=9) == before
    assert send_builds(services) == 0
