"""What somebody who can write to Redis can make a worker do: nothing; and RQ's own worker can run what is ours."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from ltmc_jobs import client, keys, registry
from ltmc_jobs.errors import EnvelopeRefused, JobFailed
from ltmc_jobs.queues.contract import JobSpec, JobStatus
from ltmc_jobs.queues.envelope import Keyring
from ltmc_jobs.queues.for_rq.job import Job
from ltmc_jobs.settings import Settings
from ltmc_jobs.shared import Shared
from tests import queue_kinds as kinds
from tests.conftest import clean_environment, wait_until
from tests.contracts.attacks import ATTACKS, UNREADABLE, Attacker, callback, os_system, pickled_call
from tests.fleet import ROOT, WorkerProcesses

assert client.tools  # declares them

WAIT = 20.0
REFUSED = keys.key(keys.INSTALLATION, "refused")


def attack_all(shared: Shared, tmp_path: Path, attacks: Sequence[Callable[[Attacker], str]]) -> list[str]:
    """Plant all, let a worker at them, see that none was begun; the names of those that the admin is not told of."""
    planted: dict[str, tuple[str, Path]] = {}
    neighbours = []
    for attack in attacks:
        attacker = Attacker(shared, tmp_path / attack.__name__)
        planted[attack.__name__] = attack(attacker), attacker.marker
        neighbours.append(shared.queue.enqueue(JobSpec(kind=kinds.ECHO, args={}, project="default")).id)
    fleet = WorkerProcesses(shared.settings)
    fleet.start("default")
    try:
        for job_id in neighbours:
            assert shared.queue.outcome(job_id, WAIT).unwrap()["attempt"] == 1
        for name, (job_id, marker) in planted.items():
            info = wait_until(lambda: ended(shared, job_id), WAIT, name)  # noqa: B023
            assert info.status == JobStatus.FAILED, name
            assert info.attempts == 0, f"{name} was begun"
            with pytest.raises((EnvelopeRefused, JobFailed)):
                shared.queue.outcome(job_id, 1).unwrap()
            assert not marker.exists(), f"{name} ran"
    finally:
        fleet.stop()
    listed: Any = shared.redis.lrange(REFUSED, 0, -1)
    known = {line.decode().split()[1] for line in listed}
    return [name for name, (job_id, _) in planted.items() if job_id not in known]


def test_each_attack_is_refused_and_its_neighbour_runs(shared: Shared, tmp_path: Path) -> None:
    """J01: whatever a writer to Redis plants is never run, is listed for the admin, and stops nobody else's job."""
    assert attack_all(shared, tmp_path, [*ATTACKS, *UNREADABLE]) == []
    assert 0 < shared.redis.ttl(REFUSED) <= 7 * 86_400


def test_odd_fields_of_a_job_break_no_list(shared: Shared) -> None:
    """J10: somebody else's words where RQ's should be are shown as what they are, or not at all."""
    for number, fields in enumerate(
        (
            {"status": "sleeping"},
            {"meta": "[1]"},
            {"meta": "\x80\x04"},
            {"ltmc_attempts": "many"},
            {"created_at": "\xff"},
        )
    ):
        name = f"odd-{number}"
        shared.redis.hset(f"rq:job:{name}", mapping={"status": "failed", "created_at": "2026-01-01", **fields})
        shared.redis.xadd(f"rq:results:{name}", {"type": "1", "return_value": "%%%"})
        shared.redis.rpush("rq:queue:default", name)
        assert shared.queue.status(name).id == name
        assert shared.queue.outcome(name, 0).job_id == name
    assert len(shared.queue.list()) == 5
    assert shared.queue.list(project="default") == []


def ended(shared: Shared, job_id: str) -> Any:
    info = shared.queue.status(job_id)
    return info if info.status.is_final else None


def test_the_same_attacks_would_run_as_they_come(shared: Shared, tmp_path: Path) -> None:
    """J01, the control: RQ's own worker runs what was planted, with pickle and with the JSON serializer alike."""
    for attack, serializer in ((pickled_call, "pickle"), (os_system, "json")):
        attacker = Attacker(shared, tmp_path / attack.__name__)
        attack(attacker)
        rq_worker(shared.settings, "--serializer", serializer)
        assert attacker.marker.exists()


def test_a_changed_path_changes_nothing(shared: Shared, settings: Settings, tmp_path: Path) -> None:
    """J01: which function runs says the signed name, not RQ's field beside it."""
    attacker = Attacker(shared, tmp_path / "path")
    spec = JobSpec(kind=kinds.ECHO, args={"x": 1}, project="default")
    envelope = attacker.seal(spec)
    attacker.rq().enqueue("os.system", args=(envelope,), job_id=spec.id)
    fleet = WorkerProcesses(settings)
    fleet.start("default")
    assert shared.queue.outcome(spec.id, WAIT).unwrap()["given"] == {"x": 1}
    fleet.stop()


def test_keys_are_rotated_without_losing_a_job() -> None:
    """J01: the first key signs, all verify."""
    old, new = b"o" * 40, b"n" * 40
    for ring in (Keyring([new, old]), Keyring([old, new])):
        assert ring.verifies(b"message", Keyring([old]).sign(b"message"))
        assert ring.verifies(b"message", Keyring([new]).sign(b"message"))
        assert not ring.verifies(b"other", Keyring([new]).sign(b"message"))
    assert not Keyring([new]).verifies(b"message", Keyring([old]).sign(b"message"))


def rq_worker(settings: Settings, *options: str, home: Path | None = None) -> subprocess.CompletedProcess[str]:
    """`rq worker` until its queue is empty, in the environment of a home."""
    command = [str(Path(sys.executable).with_name("rq")), "worker", "--burst", "--url", settings.redis_address()]
    env = clean_environment(home or settings.home, REDIS_URL=settings.redis_address(), PYTHONPATH=ROOT)
    return subprocess.run(
        [*command, *options, "default"], env=env, cwd=ROOT, capture_output=True, text=True, timeout=90, check=False
    )


def test_rqs_own_worker_runs_our_jobs(shared: Shared, tmp_path: Path) -> None:
    """J01: `rq worker --job-class workers.stock.Job --serializer json` runs a tool, and refuses what ours refuse."""
    found: Any = registry.find("store_memory")
    words = {"file_name": "stock.md", "content": "Run by the worker that RQ ships."}
    good = shared.queue.enqueue(JobSpec(kind=found.kind, args=words, project="default")).id
    attacker = Attacker(shared, tmp_path / "stock")
    bad = [os_system(attacker), pickled_call(attacker), callback(attacker)]
    done = rq_worker(shared.settings, "--job-class", "workers.stock.Job", "--serializer", "json")
    assert done.returncode == 0, done.stderr
    assert shared.queue.outcome(good, 0).unwrap()["file_name"] == "stock.md"
    assert [shared.queue.status(job_id).status for job_id in bad] == [JobStatus.FAILED] * 3
    assert not attacker.marker.exists()
    assert json.loads(Job.fetch(good, connection=shared.redis).data)[0] == found.kind.path, "the payload is JSON"


def test_rqs_own_worker_stays_off_a_foreign_memory(shared: Shared, tmp_path: Path) -> None:
    """J01: with another home it does not even begin, and says why."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "signing.key").write_bytes((shared.settings.home / "signing.key").read_bytes())
    done = rq_worker(shared.settings, "--job-class", "workers.stock.Job", home=other)
    assert done.returncode != 0
    assert "is not the memory that the jobs of" in done.stderr
