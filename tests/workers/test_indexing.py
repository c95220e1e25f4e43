"""Indexing: late and repeated runs, and an index that cannot be written."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import numpy as np
import pytest

from ltmc_jobs.errors import NotFound
from ltmc_jobs.services import Services
from ltmc_jobs.settings import Settings
from ltmc_jobs.stores.contracts import ChunkText, Document, Version
from tests.fleet import open_installation
from workers.jobs.indexing import index_versions

DUE = 256  # vectors that make a fold worth its while


@pytest.fixture
def services(settings: Settings) -> Iterator[Services]:
    made = Services.open(open_installation(settings))
    yield made
    made.close()


def record(services: Services, file_name: str, chunks: int, *, project: str = "default", publish: bool) -> Version:
    """A document of so many chunks, with its vectors if it is to be published."""
    document = Document(project=project, file_name=file_name, resource_type="note", content=uuid.uuid4().hex)
    cut = [ChunkText("x", n, n + 1) for n in range(chunks)]
    version = services.tiers.records.record(document, cut, job_id=str(uuid.uuid4()))
    if publish:
        rows = [(chunk, np.ones(384, np.float32)) for chunk in version.chunk_ids]
        services.tiers.records.add_vectors(rows, model=services.tiers.model)
        assert services.tiers.records.publish(version.resource_id, version.version)
    return version


def test_a_late_or_repeated_run_changes_nothing_and_fails_nothing(services: Services) -> None:
    """M07: neither needs the vectors that were made for it; only what never was is an error."""
    old = record(services, "a.md", 2, publish=False)
    new = record(services, "a.md", 2, publish=True)
    late = index_versions(services, [[old.resource_id, old.version, 2]], ["gone"])
    assert (late["published"], late["state"], late["vectors"]) == (0, "superseded", 0)
    again = index_versions(services, [[new.resource_id, new.version, 2]], ["gone"])
    assert (again["published"], again["state"]) == (0, "searchable")
    with pytest.raises(NotFound):
        index_versions(services, [[old.resource_id, 99, 0]], [])


def test_an_index_that_cannot_be_written_fails_no_job(services: Services, settings: Settings) -> None:
    """M04: the version is published; only its own project is folded, and an error there is a line in the log."""
    for project in ("default", "other", "third"):
        record(services, "large.md", DUE, project=project, publish=True)
    settings.vectors_directory.mkdir(parents=True)
    for project in ("default", "other"):
        (settings.vectors_directory / project).write_text("in the way")
    empty = record(services, "empty.md", 0, publish=False)
    assert index_versions(services, [[empty.resource_id, empty.version, 0]], [])["published"] == 1
    assert services.tiers.records.snapshots() == {}
    third = record(services, "empty.md", 0, project="third", publish=False)
    assert index_versions(services, [[third.resource_id, third.version, 0]], [])["published"] == 1
    assert set(services.tiers.records.snapshots()) == {"third"}
