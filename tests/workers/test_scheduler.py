"""What recurs: declared through rq-scheduler's API, signed, run by our workers."""

from __future__ import annotations

import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from ltmc_jobs.jobs import RECURRING, RESUME_UNFINISHED
from ltmc_jobs.queues.contract import JobSpec, Principal
from ltmc_jobs.queues.envelope import Call
from ltmc_jobs.services import Services
from ltmc_jobs.settings import Settings
from ltmc_jobs.shared import Shared
from ltmc_jobs.stores import open_records
from ltmc_jobs.stores.contracts import ChunkText
from tests import queue_kinds as kinds
from tests.conftest import clean_environment
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
