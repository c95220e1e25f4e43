"""J23, Y02: what is served when the queue is off, Redis is off, or Redis is gone; and what becomes of it afterwards."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from ltmc_jobs import keys
from ltmc_jobs.client import Client
from ltmc_jobs.errors import Disabled, InvalidArguments
from ltmc_jobs.private_files import make_secret
from ltmc_jobs.queues.envelope import Keyring
from ltmc_jobs.queues.local.local_worker import may_serve
from ltmc_jobs.registry import Tool, find
from ltmc_jobs.services import Services
from ltmc_jobs.session import Session
from ltmc_jobs.settings import Settings
from ltmc_jobs.shared import Shared
from tests.acceptance.conftest import Platform
from tests.acceptance.front import Front, web_of
from tests.conftest import MakeSettings, build_settings, clean_environment, free_port, wait_until
from tests.fleet import open_installation
from workers.jobs.cleanup import resume_unfinished
from workers.server import EmbeddedServer

STORE = find("store_memory")
assert isinstance(STORE, Tool)
needs_declaration = pytest.mark.skipif(
    not may_serve(STORE), reason="store_memory is declared to need Redis (Tier.REDIS): nothing to serve without it"
)
NOTE = {"file_name": "harbour.md", "content": "The lighthouse keeper counts ships at dusk."}
MEANING = {"query": "Who watches the vessels in the evening?"}

MakeFront = Callable[..., Front]


@pytest.fixture
def make_front(tmp_path: Path) -> Iterator[MakeFront]:
    made: list[Front] = []

    def make(home: Path | None = None, **variables: object) -> Front:
        home = home or tmp_path / "home"
        home.mkdir(mode=0o700, exist_ok=True)
        make_secret(home / "installation")
        made.append(Front(home, **variables))
        return made[-1].start().wait()

    yield make
    for front in made:
        front.stop()


def ask(web: httpx.Client, path: str, **body: Any) -> dict[str, Any]:
    answer = web.post(path, json=body)
    assert answer.status_code in (200, 202), answer.text
    shown: dict[str, Any] = answer.json()
    return shown


def state_of(home: Path, file_name: str) -> str:
    with sqlite3.connect(home / "ltmc.db") as database:
        statement = (
            "SELECT state FROM resource_versions v JOIN resources r ON r.id = v.resource_id WHERE r.file_name = ?"
        )
        return str(database.execute(statement, [file_name]).fetchone()[0])


@needs_declaration
def test_j23_with_the_queue_off_calls_are_served_and_recorded(make_front: MakeFront) -> None:
    """The result at once, with its job; what follows is run; every protocol says how; a restart forgets nothing."""
    front = make_front(LTMC_USE_QUEUE="false", REDIS_PORT=free_port())
    with web_of(front.url) as web:
        stored = ask(web, "/tools/store_memory?wait=45", **NOTE, wait_for="linked")
        assert (stored["served"], stored["state"]) == ("locally", "linked")
        assert "LTMC_USE_QUEUE=false" in stored["reason"]
        found = ask(web, "/tools/retrieve_memory?wait=45", **MEANING)
        assert (found["served"], found["retrieved_chunks"][0]["match"]) == ("locally", "meaning")
        called = {"jsonrpc": "2.0", "id": 1, "method": "retrieve_memory", "params": MEANING}
        assert ask(web, "/jsonrpc", **called)["result"]["served"] == "locally"
        status = ask(web, "/tools/job_status", job_id=stored["job_id"])
        assert (status["status"], status["name"], status["meta"]["served"]) == ("finished", "store_memory", "locally")
        assert status["started_at"] <= status["ended_at"]
        wrong = web.post("/tools/retrieve_memory", json=MEANING | {"scope": "conversation"})
        assert (wrong.status_code, wrong.json()["error"]["code"]) == (422, "invalid_arguments")
        listed = ask(web, "/tools/job_list", status="failed")["jobs"]
        assert [(job["name"], job["error"]["code"]) for job in listed] == [("retrieve_memory", "invalid_arguments")]
        assert web.post("/tools/job_status", json={"job_id": "unknown"}).status_code in (404, 503)
        handle = ask(web, "/tools/retrieve_memory?wait=0", query="anything else")
        assert (handle["served"], "retrieved_chunks" in handle) == ("locally", False)
        ended = ask(web, "/tools/job_result", job_id=handle["job_id"], wait_seconds=20)
        assert (ended["served"], ended["query"]) == ("locally", "anything else")
    front.stop()
    front.start().wait()
    with web_of(front.url) as web:
        again = ask(web, "/tools/job_result", job_id=stored["job_id"])
        assert (again["served"], again["vector_ids"]) == ("locally", stored["vector_ids"])


@needs_declaration
def test_j23_a_repeated_call_is_the_same_call(make_front: MakeFront) -> None:
    front = make_front(LTMC_USE_QUEUE="false", REDIS_PORT=free_port())
    with web_of(front.url, headers={"Idempotency-Key": "once"}) as web:
        first, second = (ask(web, "/tools/store_memory", **NOTE) for _ in range(2))
        other = web.post("/tools/store_memory", json=NOTE | {"content": "Something else."})
    assert (other.status_code, other.json()["error"]["code"]) == (409, "conflict")
    assert first["job_id"] == second["job_id"]
    assert first["message"] == second["message"]


@needs_declaration
def test_the_index_keeps_its_one_writer(make_front: MakeFront, tmp_path: Path) -> None:
    """While somebody else holds the lock, the call is served, and its indexing left to them."""
    run = tmp_path / "home" / "run"
    run.mkdir(mode=0o700, parents=True)
    with (run / "vectors.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        front = make_front(LTMC_USE_QUEUE="false", REDIS_PORT=free_port())
        with web_of(front.url) as web:
            assert ask(web, "/tools/store_memory", **NOTE)["served"] == "locally"
            assert len(ask(web, "/tools/job_list")["jobs"]) == 1
            found = ask(web, "/tools/retrieve_memory?wait=45", query="lighthouse keeper")
            assert found["retrieved_chunks"][0]["match"] == "words"
    assert state_of(front.home, "harbour.md") == "recorded"


def test_a_machine_without_the_memory_makes_no_second_one(make_front: MakeFront) -> None:
    front = make_front(LTMC_USE_QUEUE="false", REDIS_PORT=free_port())
    front.stop()
    (front.home / "installation").unlink()
    front.start().wait()
    with web_of(front.url) as web:
        refused = web.post("/tools/store_memory", json=NOTE)
    assert refused.status_code == 503
    assert not (front.home / "ltmc.db").exists()


@needs_declaration
def test_a_machine_that_holds_another_memory_leaves_it_alone(make_front: MakeFront, redis_url: str) -> None:
    """Its home was an installation once, but this Redis works for another's."""
    with redis.Redis.from_url(redis_url) as connection:
        connection.set(keys.key(keys.INSTALLATION, "installation"), "another home's")
    front = make_front(LTMC_USE_QUEUE="false", REDIS_URL=redis_url)
    with web_of(front.url) as web:
        refused = web.post("/tools/store_memory", json=NOTE)
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "queue_unavailable")
    assert not (front.home / "ltmc.db").exists()


@contextmanager
def platform_on(home: Path) -> Iterator[tuple[EmbeddedServer, Platform]]:
    """A platform whose Redis is the test's to stop."""
    server = EmbeddedServer(build_settings(home / "server", REDIS_PORT=free_port()))
    server.start()
    platform = Platform.at(
        home / "home", REDIS_URL=server.settings.redis_address(), LTMC_WORKERS=1, LTMC_DASHBOARD="false"
    )
    try:
        assert platform.workers("start", "--detach").returncode == 0
        yield server, platform
    finally:
        platform.workers("stop")
        server.stop()


@needs_declaration
def test_y02_redis_goes_and_comes_back(tmp_path: Path) -> None:
    """Served within a moment, refused within two seconds, and afterwards nothing is stale and nothing is lost."""
    with platform_on(tmp_path) as (server, platform), web_of(platform.url) as web:
        ask(web, "/tools/store_memory?wait=45", **NOTE, wait_for="searchable")
        before = ask(web, "/tools/retrieve_memory?wait=45", **MEANING)
        assert "served" not in before
        wait_until(lambda: ask(web, "/tools/retrieve_memory", **MEANING).get("cached"), 10)
        server.stop()
        ask(web, "/tools/store_memory?wait=45", file_name="warm.md", content="Warm.")  # the process starts once
        started = time.monotonic()
        refused = web.post("/tools/job_list", json={})
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "queue_unavailable")
        assert web.get("/queues").status_code == 503
        second = {"file_name": "pier.md", "content": "At the pier a watchman counts vessels in the evening."}
        stored = ask(web, "/tools/store_memory", **second)
        assert time.monotonic() - started < 2
        assert (stored["served"], "cannot be reached" in stored["reason"]) == ("locally", True)
        found = ask(web, "/tools/retrieve_memory?wait=45", query="watchman pier")
        assert "pier.md" in {chunk["file_name"] for chunk in found["retrieved_chunks"]}
        server.start()
        time.sleep(1)  # the server was asked less than a second ago
        status = ask(web, "/tools/job_status", job_id=stored["job_id"])
        assert (status["status"], status["meta"]["served"]) == ("finished", "locally")
        after = ask(web, "/tools/retrieve_memory?wait=45", **MEANING)
        assert "served" not in after
        assert "cached" not in after
        assert state_of(platform.home, "pier.md") == "recorded"
        with sqlite3.connect(platform.home / "ltmc.db") as database:
            database.execute("UPDATE resource_versions SET created_at = '2020-01-01T00:00:00.000000+00:00'")
        settings = build_settings(platform.home, REDIS_URL=server.settings.redis_address())
        services = Services.open(Shared.open(settings))
        assert resume_unfinished(services)["resumed"] >= 1
        services.close()
        wait_until(lambda: state_of(platform.home, "pier.md") == "linked", 30)


@needs_declaration
def test_y02_a_silent_redis_is_as_good_as_gone(make_front: MakeFront, tmp_path: Path) -> None:
    """It takes connections and answers nothing: within two seconds a typed refusal, or the local answer."""
    server = EmbeddedServer(build_settings(tmp_path / "server", REDIS_PORT=free_port()))
    server.start()
    home = tmp_path / "home"
    open_installation(build_settings(home, REDIS_URL=server.settings.redis_address())).close()
    assert server.process is not None
    front = make_front(home, REDIS_URL=server.settings.redis_address())
    try:
        with web_of(front.url) as web:
            assert ask(web, "/tools/job_list")["count"] == 0
            os.kill(server.process.pid, signal.SIGSTOP)
            started = time.monotonic()
            assert web.post("/tools/job_list", json={}).json()["error"]["code"] == "queue_unavailable"
            assert time.monotonic() - started < 2
            assert ask(web, "/tools/store_memory?wait=45", **NOTE)["served"] == "locally"
            started = time.monotonic()
            assert ask(web, "/tools/store_memory", **NOTE)["served"] == "locally"
            assert time.monotonic() - started < 2
            os.kill(server.process.pid, signal.SIGCONT)
            time.sleep(1)
            assert ask(web, "/tools/job_list")["count"] >= 1
    finally:
        os.kill(server.process.pid, signal.SIGCONT)
        front.stop()
        server.stop()


@needs_declaration
def test_redis_switched_off_for_good(make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    """REDIS_ENABLED=false: what needs it is disabled, the rest is served."""
    settings: Settings = make_settings(REDIS_ENABLED="false")
    for name, value in clean_environment(settings.home, REDIS_ENABLED="false").items():
        monkeypatch.setenv(name, value)
    settings.home.mkdir(mode=0o700, parents=True)
    Keyring.make(settings)

    async def call() -> dict[str, Any]:
        client = Client(Shared.open_apart(settings))
        session = Session("default")
        answer = await client.call("store_memory", NOTE | {"wait_for": "linked"}, session, wait_seconds=45)
        with pytest.raises(Disabled):
            await client.queues()
        with pytest.raises(InvalidArguments):
            await client.call("retrieve_memory", MEANING | {"scope": "conversation"}, session, wait_seconds=45)
        assert (await client.jobs(session))["count"] >= 2
        client.close()
        return answer.as_dict()

    shown = asyncio.run(call())
    assert (shown["served"], shown["state"]) == ("locally", "linked")
