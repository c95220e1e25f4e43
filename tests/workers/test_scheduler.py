"""What recurs: declared through rq-scheduler's API, signed, run by our workers."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from ltmc_jobs import keys
from ltmc_jobs.errors import StoreUnavailable
from ltmc_jobs.jobs import RECURRING, RESUME_UNFINISHED
from ltmc_jobs.queues.contract import JobSpec, Principal
from ltmc_jobs.queues.envelope import Call
from ltmc_jobs.registry import find
from ltmc_jobs.services import Services
from ltmc_jobs.settings import Settings
from ltmc_jobs.shared import Shared
from ltmc_jobs.stores import open_records
from ltmc_jobs.stores.contracts import ChunkText, Snapshot
from tests import queue_kinds as kinds
from tests.conftest import clean_environment, wait_until
from tests.fleet import ROOT, WorkerProcesses, open_installation
from workers.jobs import cleanup
from workers.scheduler import Scheduler


@pytest.fixture
def shared(settings: Settings) -> Iterator[Shared]:
    opened = open_installation(settings)
    yield opened
    opened.close()


@pytest.fixture
def scheduler_process(settings: Settings, shared: Shared) -> Iterator[subprocess.Popen[bytes]]:
    environment = clean_environment(settings.home, REDIS_URL=settings.redis_address(), PYTHONPATH=ROOT)
    process = subprocess.Popen([sys.executable, "-m", "workers", "scheduler"], env=environment, cwd=ROOT)
    yield process
    process.terminate()
    assert process.wait(20) == 0


def test_what_recurs_is_declared_and_runs(
    shared: Shared, settings: Settings, scheduler_process: subprocess.Popen[bytes], wait_until: Callable[..., Any]
) -> None:
    fleet = WorkerProcesses(settings)
    fleet.start("maintenance", pool="maintenance")
    wait_until(lambda: shared.redis.zcard("rq:scheduler:scheduled_jobs") == len(RECURRING), 20)
    for kind in RECURRING:
        job_id = f"recurring-{kind.name}".replace("_", "-")
        wait_until(lambda name=job_id: shared.queue.status(name).status.value == "finished", 20)  # type: ignore[misc]
    found: Any = shared.redis.hgetall("rq:job:recurring-clean-up")
    assert b"workers.jobs.cleanup.clean_up" in zlib.decompress(found[b"data"]), "readable, and no pickle"
    fleet.stop()


def test_a_job_can_be_scheduled_with_rq_schedulers_own_words(
    shared: Shared, settings: Settings, scheduler_process: subprocess.Popen[bytes]
) -> None:
    """`every` signs; the job then runs like any other."""
    fleet = WorkerProcesses(settings)
    fleet.start("default")
    spec = JobSpec(kind=kinds.ECHO, args={"x": 1}, project="default", id="every-minute")
    scheduler = Scheduler(shared.redis, shared.keys)
    scheduler.every(60, spec)
    assert spec.id in scheduler
    assert shared.queue.outcome(spec.id, 20).unwrap()["given"] == {"x": 1}
    scheduler.cancel(spec.id)
    assert spec.id not in scheduler
    fleet.stop()


def test_a_version_that_stopped_on_its_way_goes_on(
    shared: Shared, settings: Settings, wait_until: Callable[..., Any]
) -> None:
    """M07: recorded, and its worker died before anything could follow."""
    records = open_records(settings)
    text = "Left behind."
    version = records.record(
        project="default",
        file_name="orphan.md",
        resource_type="document",
        content=text,
        chunks=[ChunkText(text, 0, len(text))],
        job_id="0199aaaa-0000-7000-8000-00000000000a",
    )
    assert records.unfinished(older_than_seconds=0) == [replace(version, created=False)]
    fleet = WorkerProcesses(settings)
    fleet.start("embedding", "vectors", "graph", pool="all")
    call = Call("sweep", RESUME_UNFINISHED, {}, "_", Principal("maintenance"), "sweep", None)
    services = Services.open(shared).during(call, None)  # type: ignore[arg-type]
    found = records.unfinished(older_than_seconds=0)[0]
    assert cleanup.resume(services, found) is True
    assert cleanup.resume(services, found) is False, "it is on its way"
    wait_until(lambda: records.unfinished(older_than_seconds=0) == [], 20)
    final = records.version(version.resource_id, version.version)
    assert final is not None
    assert final.state == "linked"
    fleet.stop()
    services.tiers.close()
    records.close()


class Sweep:
    """A document in the records of a settings' home, and the sweep's view of it."""

    def __init__(self, shared: Shared, settings: Settings) -> None:
        self.shared = shared
        self.records = open_records(settings)
        call = Call("sweep", RESUME_UNFINISHED, {}, "_", Principal("maintenance"), "sweep", None)
        self.services = Services.open(shared).during(call, None)  # type: ignore[arg-type]

    def store(self, file_name: str) -> dict[str, Any]:
        store = find("store_memory").kind  # type: ignore[union-attr]
        spec = JobSpec(kind=store, args={"file_name": file_name, "content": "Left behind."}, project="default")
        self.shared.queue.enqueue(spec)
        result: dict[str, Any] = self.shared.queue.outcome(spec.id, 20).unwrap()
        return result

    def resume(self) -> bool:
        return cleanup.resume(self.services, self.records.unfinished(older_than_seconds=0)[0])

    def sent(self, times: int, seconds_ago: float) -> None:
        version = self.records.unfinished(older_than_seconds=0)[0]
        name = keys.key("default", "resumed", str(version.resource_id), str(version.version))
        self.shared.redis.set(name, json.dumps([times, time.time() - seconds_ago]), ex=60)

    def is_done(self) -> bool:
        return self.records.unfinished(older_than_seconds=0) == []


@pytest.fixture
def sweep(shared: Shared, settings: Settings) -> Iterator[Sweep]:
    made = Sweep(shared, settings)
    yield made
    made.services.tiers.close()
    made.records.close()


@pytest.fixture
def failed(sweep: Sweep, settings: Settings) -> dict[str, Any]:
    """A document whose embedding failed for good, and the jobs that followed from storing it."""
    fleets = [WorkerProcesses(settings), WorkerProcesses(settings, EMBEDDING_MODEL="another/model")]
    for fleet, queue in zip(fleets, ("default", "embedding"), strict=True):
        fleet.start(queue)
    stored = sweep.store("stuck.md")
    wait_until(lambda: sweep.shared.redis.zcard("rq:failed:embedding"), 20)
    for fleet in fleets:
        fleet.stop()
    assert sweep.shared.queue.status(stored["jobs"]["searchable"]).status.value == "deferred"
    return stored


def test_a_failed_version_is_sent_again_without_end_ever_less_often(
    sweep: Sweep, settings: Settings, failed: dict[str, Any]
) -> None:
    """M07: not only five times; the jobs that waited for the failed one are made anew with it."""
    assert sweep.resume() is True
    assert sweep.resume() is False, "it is on its way"
    sweep.shared.queue.cancel(failed["jobs"]["searchable"])
    assert sweep.resume() is False, "it was sent a moment ago"
    for times, seconds, due in ((2, 200, False), (2, 250, True), (9, 3500, False), (9, 3700, True)):
        sweep.shared.queue.cancel(failed["jobs"]["searchable"])
        sweep.sent(times, seconds)
        assert sweep.resume() is due, (times, seconds)
    fleet = WorkerProcesses(settings)
    fleet.start("embedding", "vectors", "graph")
    wait_until(sweep.is_done, 30)
    fleet.stop()


def test_a_link_whose_indexing_is_lost_is_not_on_its_way(
    sweep: Sweep, settings: Settings, failed: dict[str, Any]
) -> None:
    sweep.shared.redis.delete(f"rq:job:{failed['jobs']['searchable']}")
    assert sweep.shared.queue.status(failed["jobs"]["linked"]).status.value == "deferred"
    assert sweep.resume() is True


def test_the_same_content_stored_again_starts_what_had_failed(
    sweep: Sweep, settings: Settings, failed: dict[str, Any]
) -> None:
    fleet = WorkerProcesses(settings)
    fleet.start("default", "embedding", "vectors", "graph")
    again = sweep.store("stuck.md")
    assert again["jobs"] == failed["jobs"]
    wait_until(sweep.is_done, 30)
    assert sweep.shared.queue.list(queue="embedding") == [], "its vectors are rows: the job is forgotten"
    assert list(sweep.shared.redis.scan_iter("rq:results:*"))
    fleet.stop()


def test_the_sweep_mends_a_damaged_index(sweep: Sweep, settings: Settings) -> None:
    """T13, N04: without anything stored in between."""
    fleet = WorkerProcesses(settings)
    fleet.start("default", "embedding", "vectors", "graph")
    sweep.store("fine.md")
    wait_until(sweep.is_done, 30)
    fleet.stop()
    sweep.records.note_snapshot(Snapshot("default", 1, settings.embedding_model, 384, 1, 100, 0))
    with pytest.raises(StoreUnavailable):
        sweep.services.tiers.vectors.check()
    cleanup.resume_unfinished(sweep.services)
    sweep.services.tiers.vectors.check()
