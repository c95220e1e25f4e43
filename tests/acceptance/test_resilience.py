"""Any one process of the platform is killed under load: service is soon back, no accepted call lost or done twice."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import httpx
import psutil
import pytest
import redis

from ltmc_jobs.queues.views import fleet
from tests.acceptance.conftest import Platform
from tests.acceptance.front import redis_of, settings_of, web_of
from tests.conftest import wait_until
from workers import processes
from workers.record import Record

BACK_SECONDS = 10.0
PAUSE_SECONDS = 0.03
POOLS = ["critical", "high", "default", "embedding", "vectors", "errands"]
CHILDREN = ["api", "redis", "workers", "dashboard"]


class Load:
    """One caller that stores a note after the other, and repeats a call whose answer it did not get."""

    def __init__(self, platform: Platform) -> None:
        self.project = f"load-{uuid.uuid4().hex[:8]}"
        self.accepted: dict[str, str] = {}  # job id by file name
        self.refused = 0
        self._platform = platform
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        number = 0
        with web_of(self._platform.url, params={"project": self.project}) as web:
            while not self._over.wait(PAUSE_SECONDS):
                number += 1
                self.call(web, f"note-{number}.md")

    def call(self, web: httpx.Client, name: str) -> None:
        """Store a note of this name; ends when it is accepted."""
        note = {"file_name": name, "content": f"{name} says something of its own."}
        while not self._over.is_set():
            try:
                answer = web.post(
                    "/tools/store_memory", params={"wait": 0}, json=note, headers={"Idempotency-Key": name}, timeout=20
                )
            except httpx.HTTPError:
                self.refused += 1
                self._over.wait(PAUSE_SECONDS)
                continue
            if answer.status_code in (200, 202):
                self.accepted[name] = answer.json()["job_id"]
                return
            assert answer.status_code == 503, answer.text  # it says so, and that a later try may do
            assert answer.json()["error"]["retry"] is True
            self.refused += 1
            self._over.wait(PAUSE_SECONDS)

    def check(self) -> None:
        """Every accepted call has its one result, and its note stands in the memory in its first version."""
        assert len(self.accepted) > 4, "also after the kill"
        with web_of(self._platform.url, params={"project": self.project}) as web:
            for name, job_id in self.accepted.items():
                answer = web.get(f"/jobs/{job_id}/result", params={"wait": 30})
                assert answer.status_code == 200, (name, answer.text)
                assert (answer.json()["file_name"], answer.json()["version"]) == (name, 1), answer.text
            wait_until(lambda: self._ended(web) == {"finished"}, 20, "what follows has ended, too")
        with redis_of(self._platform) as connection:
            for job_id in self.accepted.values():
                entries: Any = connection.xrange(f"rq:results:{job_id}")
                assert sum(fields[b"type"] == b"1" for _, fields in entries) <= 1, job_id

    def _ended(self, web: httpx.Client) -> set[str]:
        return {job["status"] for job in web.get("/jobs", params={"limit": 500}).json()["jobs"]}


@pytest.fixture(scope="module", name="platform")
def _platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """One that may be hurt; its other processes stay as they are while one is killed."""
    made = Platform.at(tmp_path_factory.mktemp("resilience") / "home", LTMC_WORKERS=1)
    made.workers("start", "--detach")
    yield made
    made.workers("stop")


def record_of(platform: Platform) -> Record:
    found = Record.load(settings_of(platform))
    assert found is not None
    return found


def child(platform: Platform, name: str) -> psutil.Process | None:
    """What the supervisor runs under this name, if it lives."""
    return record_of(platform).children[name].find() if name in record_of(platform).children else None


def workers_of(platform: Platform) -> dict[int, str]:
    """The pool of each worker process, by its pid."""
    with redis_of(platform) as connection:
        hosts = fleet.fleet(connection)["hosts"]
    return {process["pid"]: process["pool"] for host in hosts for process in host["processes"]}


def is_gone(pid: int) -> bool:
    try:
        return not processes.alive(psutil.Process(pid))
    except psutil.NoSuchProcess:
        return True


def fleet_of(platform: Platform) -> set[int]:
    """The living processes of the fleet."""
    parent = child(platform, "workers")
    return {one.pid for one in parent.children() if processes.alive(one)} if parent else set()


def victim_of(platform: Platform, name: str) -> int:
    """The pid of a process by what it is: a child of the supervisor, a pool, the scheduler or the guard."""
    if name in CHILDREN:
        found = child(platform, name)
        assert found is not None
        return found.pid
    if name == "guard":
        supervisor = psutil.Process(record_of(platform).supervisor.pid)
        return next(one.pid for one in supervisor.children() if one.name() == "sh")
    pools = wait_until(lambda: (known := workers_of(platform)) and set(POOLS) <= set(known.values()) and known)
    if name == "scheduler":  # what runs apart since the last kill is younger
        rest = fleet_of(platform) - set(workers_of(platform))
        return min(rest, key=lambda pid: psutil.Process(pid).create_time())
    return int(next(pid for pid in fleet_of(platform) if pools.get(pid) == name))


def is_whole(platform: Platform, processes_before: int) -> bool:
    """Whether all run, and say that they are well."""
    if any(child(platform, name) is None for name in CHILDREN) or len(fleet_of(platform)) < processes_before:
        return False
    try:
        with web_of(platform.url) as web:
            return bool(web.get("/health", timeout=2).json()["status"] == "healthy")
    except httpx.HTTPError:
        return False


def serves(platform: Platform) -> bool:
    """Whether a new note goes all the way, and is found."""
    name = f"probe-{uuid.uuid4().hex}"
    note = {"file_name": name, "content": f"The {name} stands in the reeds.", "wait_for": "linked"}
    try:
        with web_of(platform.url, params={"project": "probes", "wait": 5}) as web:
            stored = web.post("/tools/store_memory", json=note).json()
            found = web.post("/tools/retrieve_memory", json={"query": name, "top_k": 1}).json()
            dashboard = web.get("/rq/")  # it asks for its link: so it runs
    except httpx.HTTPError:
        return False
    return bool(
        stored.get("state") == "linked"
        and found.get("retrieved_chunks", [{}])[0].get("file_name") == name
        and dashboard.status_code == 403
    )


@contextmanager
def killed(platform: Platform, name: str) -> Iterator[None]:
    """Kill it; at the end all must be back, ten seconds after."""
    before = len(fleet_of(platform))
    pid = victim_of(platform, name)
    os.kill(pid, signal.SIGKILL)
    began = time.monotonic()
    yield
    wait_until(lambda: is_gone(pid), 1)
    if name != "guard":  # the supervisor makes another one when it starts the next child
        wait_until(lambda: is_whole(platform, before), BACK_SECONDS, f"all is well without {name}")
    wait_until(lambda: serves(platform), BACK_SECONDS, f"calls are served without {name}")
    took = time.monotonic() - began
    print(f"{name}: back after {took:.1f} s")  # noqa: T201
    assert took <= BACK_SECONDS


@pytest.mark.parametrize("name", [*CHILDREN, *POOLS, "scheduler", "guard"])
def test_y01_any_one_process_may_be_killed(platform: Platform, name: str) -> None:
    """Y01: kill -9; service restored within 10 s, no accepted job lost, none done twice."""
    with Load(platform) as load:
        wait_until(lambda: len(load.accepted) > 3, 10)
        with killed(platform, name):
            pass
    load.check()


def test_y01_when_the_supervisor_is_killed_a_start_goes_on_with_all(platform: Platform) -> None:
    """Y01: nobody restarts the supervisor itself. Its guard ends what it ran, and `start`, even at once, goes on."""
    load = Load(platform)
    with web_of(platform.url, params={"project": load.project, "wait": 0}) as web:
        for number in range(60):
            load.call(web, f"note-{number}.md")
    supervisor = psutil.Process(record_of(platform).supervisor.pid)
    left = [one for one in supervisor.children(recursive=True) if one.name() != "sh"]  # but the guard
    supervisor.kill()
    began = time.monotonic()
    platform.workers("start", "--detach")
    print(f"supervisor: back after {time.monotonic() - began:.1f} s")  # noqa: T201
    assert not [process for process in left if processes.alive(process)]
    load.check()


@pytest.mark.slow
def test_y01_again_and_again_at_random(platform: Platform) -> None:
    """Y01: three callers, a kill each second or two, whatever is still missing; then all is as after one."""
    chance = random.Random(4)
    loads = [Load(platform) for _ in range(3)]
    with ExitStack() as ends:
        for load in loads:
            ends.enter_context(load)
        for _ in range(25):
            with suppress(AssertionError, StopIteration, redis.RedisError):  # it may not be there just now
                os.kill(victim_of(platform, chance.choice([*CHILDREN, *POOLS])), signal.SIGKILL)
            time.sleep(chance.uniform(0.2, 2.0))
        wait_until(lambda: serves(platform), 60, "calls are served")
    for load in loads:
        load.check()
