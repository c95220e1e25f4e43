"""Workers on another host help where they touch none of the first host's files, and nowhere else."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ltmc_jobs.client import tools
from ltmc_jobs.errors import Misconfigured
from ltmc_jobs.queues.contract import JobSpec
from ltmc_jobs.queues.envelope import Keyring
from ltmc_jobs.registry import STORELESS_QUEUES, Queue, find
from ltmc_jobs.settings import Settings
from ltmc_jobs.shared import Shared
from ltmc_jobs.stores import open_store
from ltmc_jobs.stores.contracts import Records
from tests.conftest import MakeSettings, clean_environment, free_port
from tests.fleet import ROOT, WorkerProcesses, open_installation
from workers.worker import allowed

STORES = 1000
assert tools


@pytest.fixture
def shared(settings: Settings) -> Iterator[Shared]:
    opened = open_installation(settings)
    yield opened
    opened.close()


def test_a_second_fleet_with_another_home_never_touches_a_record(
    shared: Shared, settings: Settings, tmp_path: Path, wait_until: Callable[..., Any]
) -> None:
    """1,000 stores; the second fleet may embed, and its home gets no record, no index, no graph."""
    key = (settings.home / "signing.key").read_text().strip()
    elsewhere = tmp_path / "elsewhere"
    environment = clean_environment(
        elsewhere, REDIS_URL=settings.redis_address(), LTMC_SIGNING_KEY=key, LTMC_WORKERS=2, PYTHONPATH=ROOT
    )
    second = subprocess.Popen([sys.executable, "-m", "workers", "workers"], env=environment, cwd=tmp_path)
    first = WorkerProcesses(settings)
    for pool in ("one", "two"):
        first.start("default", pool=pool)
    try:
        wait_until(lambda: shared.heartbeats.live(["embedding"])["embedding"] >= 2, 20)
        store = find("store_memory").kind  # type: ignore[union-attr]
        specs = [
            JobSpec(kind=store, args={"file_name": f"{n}.md", "content": f"Note {n}."}, project="default")
            for n in range(STORES)
        ]
        with ThreadPoolExecutor(8) as pool_of_threads:
            list(pool_of_threads.map(shared.queue.enqueue, specs))
        for spec in specs:
            shared.queue.outcome(spec.id, 60).unwrap()
        records = open_store(Records, settings)
        assert records.count()["resources"] == STORES
        records.close()
        wait_until(lambda: shared.redis.zcard("rq:finished:embedding") > 20, 30)
        workers = [worker for worker in shared.queue.workers() if "remote" in worker["name"]]
        assert {queue for worker in workers for queue in worker["queues"]} <= {
            queue.value for queue in STORELESS_QUEUES
        }
    finally:
        second.terminate()
        second.wait(40)
        first.stop()
    written = {path.name for path in elsewhere.rglob("*") if path.is_file()}
    assert not [name for name in written if name.startswith("ltmc.db") or name.endswith(".faiss")], written


def test_queues_that_touch_stores_need_the_stores() -> None:
    assert allowed(list(Queue), owns_stores=True) == list(Queue)
    assert allowed(list(Queue), owns_stores=False) == [Queue.EMBEDDING, Queue.LLM, Queue.WEBHOOKS]


def test_a_second_home_cannot_take_over_a_server(shared: Shared, make_settings: MakeSettings, tmp_path: Path) -> None:
    """Its start is refused with the three ways out."""
    other = make_settings(LTMC_HOME=tmp_path / "second", REDIS_URL=shared.settings.redis_address())
    with pytest.raises(Misconfigured, match=r"another installation.*start_workers.sh workers.*LTMC_HOME"):
        open_installation(other)


def test_a_worker_without_the_key_says_what_to_do(shared: Shared, tmp_path: Path) -> None:
    environment = clean_environment(tmp_path / "keyless", REDIS_URL=shared.settings.redis_address(), PYTHONPATH=ROOT)
    done = subprocess.run(
        [sys.executable, "-m", "workers", "workers"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert "copy signing.key" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_host_with_another_key_does_not_start(shared: Shared, tmp_path: Path) -> None:
    """It would take jobs and refuse them all; with the installation's key among its own it works."""
    shared.installation.check_keys(shared.keys)
    environment = clean_environment(tmp_path / "other", REDIS_URL=shared.settings.redis_address(), PYTHONPATH=ROOT)
    for module in (["workers", "workers"], ["workers", "scheduler"], ["api"]):
        done = subprocess.run(
            [sys.executable, "-m", *module],
            env=environment | {"LTMC_SIGNING_KEY": "w" * 40, "HTTP_PORT": str(free_port())},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 2, module
        assert "this host's signing key is not the installation's: copy signing.key" in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_a_rotated_key_takes_over_while_the_old_one_is_known(shared: Shared, make_settings: MakeSettings) -> None:
    old = (shared.settings.home / "signing.key").read_text().strip()
    ring = {keys: Keyring.load(make_settings(LTMC_SIGNING_KEY=keys)) for keys in (f"{'n' * 40},{old}", "n" * 40)}
    shared.installation.check_keys(shared.keys)
    with pytest.raises(Misconfigured):
        shared.installation.check_keys(ring["n" * 40])
    shared.installation.check_keys(ring[f"{'n' * 40},{old}"])
    shared.installation.check_keys(ring["n" * 40])
    with pytest.raises(Misconfigured):
        shared.installation.check_keys(shared.keys)


def test_the_signing_key_is_made_once_for_its_owner_alone(make_settings: MakeSettings) -> None:
    settings = make_settings()
    settings.home.mkdir(parents=True)
    with ThreadPoolExecutor(8) as threads:
        rings = list(threads.map(lambda _: Keyring.make(settings), range(8)))
    assert len({ring.sign(b"x") for ring in rings}) == 1
    assert (settings.home / "signing.key").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in settings.home.iterdir() if "signing" in path.name] == ["signing.key"]
    rotated = make_settings(LTMC_SIGNING_KEY=f"{'n' * 40},{(settings.home / 'signing.key').read_text().strip()}")
    assert Keyring.load(rotated).verifies(b"x", rings[0].sign(b"x"))
    assert not rings[0].verifies(b"x", Keyring.load(rotated).sign(b"x"))
    with pytest.raises(Misconfigured, match="at least 32"):
        Keyring.load(make_settings(LTMC_SIGNING_KEY="short"))
