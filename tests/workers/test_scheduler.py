"""What recurs: declared through rq-scheduler's API, signed, run by our workers."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from ltmc_jobs import keys
from ltmc_jobs.errors import StoreUnavailable
from ltmc_jobs.jobs import RECURRING, RESUME_UNFINISHED
from ltmc_jobs.queues.contract import JobSpec, Principal
from ltmc_jobs.queues.envelope import Call
from ltmc_jobs.queues.for_rq.scheduler import Scheduler
from ltmc_jobs.registry import find
from ltmc_jobs.services import Services
from ltmc_jobs.settings import Settings
from ltmc_jobs.shared import Shared
from ltmc_jobs.stores import open_store
from ltmc_jobs.stores.contracts import ChunkText, Document, Records, Snapshot
from tests import queue_kinds as kinds
from tests.conftest import clean_environment, wait_until
from tests.fleet import ROOT, WorkerProcesses, open_installation
from workers.jobs import cleanup
from workers.recovery import WorkerName


@pytest.fixture
def shared(settings: Settings) -> Iterator[Shared]:
    opened = open_installation(settings)
    yield opened
    opened.close()


class Schedulers:
    """Scheduler processes of one installation."""

    def __init__(self, settings: Settings) -> None:
        self._environment = clean_environment(settings.home, REDIS_URL=settings.redis_address(), PYTHONPATH=ROOT)
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        command = [sys.executable, "-m", "workers", "scheduler"]
        self.processes.append(subprocess.Popen(command, env=self._environment, cwd=ROOT))

    def kill(self, pid: int) -> None:
        """As a crash does."""
        process = next(process for process in self.processes if process.pid == pid)
        self.processes.remove(process)
        process.kill()
        process.wait()

    def stop(self) -> list[int]:
        for process in self.processes:
            process.terminate()
        return [process.wait(20) for process in self.processes]


@pytest.fixture
def schedulers(settings: Settings, shared: Shared) -> Iterator[Schedulers]:
    started = Schedulers(settings)
    yield started
    assert set(started.stop()) <= {0, -signal.SIGTERM}  # asked to stop before it could listen


@pytest.fixture
def fleet(settings: Settings, shared: Shared) -> Iterator[WorkerProcesses]:
    started = WorkerProcesses(settings)
    yield started
    started.stop()


def test_what_recurs_is_declared_and_runs(shared: Shared, fleet: WorkerProcesses, schedulers: Schedulers) -> None:
    fleet.start("maintenance", pool="maintenance")
    schedulers.start()
    wait_until(lambda: shared.redis.zcard("rq:scheduler:scheduled_jobs") == len(RECURRING), 20)
    for kind in RECURRING:
        job_id = f"recurring-{kind.name}".replace("_", "-")
        wait_until(lambda name=job_id: ran(shared, name), 20)  # type: ignore[misc]
    found: Any = shared.redis.hget("rq:job:recurring-clean-up", "data")
    assert b"workers.jobs.cleanup.clean_up" in found, "readable, and no pickle"


def ran(shared: Shared, schedule: str) -> bool:
    """Whether a run of a schedule has finished."""
    return any(
        shared.queue.status(name.decode().removeprefix("rq:job:")).status.value == "finished"
        for name in shared.redis.scan_iter(f"rq:job:{schedule}-[0-9]*")
    )


def test_a_job_can_be_scheduled_with_rq_schedulers_own_words(
    shared: Shared, fleet: WorkerProcesses, schedulers: Schedulers
) -> None:
    """What it declares is signed; its runs are jobs like any other."""
    fleet.start("default")
    schedulers.start()
    scheduler = Scheduler(connection=shared.redis, keys=shared.keys)
    once = scheduler.enqueue_in(timedelta(seconds=0.5), kinds.echo, x=1)
    assert shared.queue.outcome(once.id, 20).unwrap()["given"] == {"x": 1}
    spec = JobSpec(kind=kinds.ECHO, args={"x": 1}, project="default", id="every-minute")
    scheduler.every(60, spec)
    assert spec.id in scheduler
    wait_until(lambda: ran(shared, spec.id), 20)
    scheduler.cancel(spec.id)
    assert spec.id not in scheduler


def test_three_schedulers_run_each_tick_once_though_the_leader_dies(shared: Shared, schedulers: Schedulers) -> None:
    """J09: exactly one run a tick, within a second of its time; after a crash, those that fell in between too."""
    for _ in range(3):
        schedulers.start()
    leads = keys.key(keys.INSTALLATION, "leader")
    wait_until(lambda: shared.redis.exists(leads), 20)
    scheduler = Scheduler(connection=shared.redis, keys=shared.keys)
    scheduler.every(1, JobSpec(kind=kinds.ECHO, args={}, project="default", id="ticks"))
    wait_until(lambda: len(runs(shared)) >= 3, 20)
    leader = shared.redis.get(leads)
    assert isinstance(leader, bytes)
    killed_at = time.time()
    schedulers.kill(WorkerName.read(leader.decode()).pid)  # type: ignore[union-attr]
    wait_until(lambda: max(runs(shared), default=0) > killed_at + 10, 20)
    scheduler.cancel("ticks")
    found = runs(shared)
    assert found == list(range(found[0], found[-1] + 1)), "each tick, once, in order"
    # The first is for the moment of the declaration; for those after the crash, another must first lead.
    late = [lateness(shared, tick) for tick in found[1:] if not killed_at - 1 <= tick <= killed_at + 7]
    assert len(late) >= 2
    assert all(0 <= seconds <= 1.0 for seconds in late), late
    time.sleep(1.5)
    assert runs(shared) == found, "recurring until stopped"


def runs(shared: Shared) -> list[int]:
    """The ticks whose runs are in the queue, in its order."""
    queued: Any = shared.redis.lrange("rq:queue:default", 0, -1)
    return [int(name.rpartition(b"-")[2]) for name in queued if name.startswith(b"ticks-")]


def lateness(shared: Shared, tick: int) -> float:
    """How long after its time a run was queued."""
    queued_at: Any = shared.redis.hget(f"rq:job:ticks-{tick}", "enqueued_at")
    return datetime.fromisoformat(queued_at.decode()).timestamp() - tick


def test_a_version_that_stopped_on_its_way_goes_on(
    shared: Shared, settings: Settings, wait_until: Callable[..., Any]
) -> None:
    """M07: recorded, and its worker died before anything could follow."""
    records = open_store(Records, settings)
    text = "Left behind."
    version = records.record(
        Document(project="default", file_name="orphan.md", content=text),
        [ChunkText(text, 0, len(text))],
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
        self.records = open_store(Records, settings)
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
    # What is stored by one model, no worker that has only the other can embed.
    fleets = [WorkerProcesses(settings, EMBEDDING_MODEL="another/model"), WorkerProcesses(settings)]
    for fleet, queue in zip(fleets, ("default", "embedding"), strict=True):
        fleet.start(queue)
    try:
        stored = sweep.store("stuck.md")
        wait_until(lambda: sweep.shared.redis.zcard("rq:failed:embedding"), 60)
    finally:
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
