"""What there is one of, Redis and the SQLite file: what docs/operations.md says to do when it is lost."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest
from redis import Redis

from ltmc_jobs.queues.contract import JobSpec
from tests import queue_kinds as kinds
from tests.acceptance.conftest import Platform
from tests.acceptance.front import settings_of, store, web_of
from tests.conftest import MakeSettings, free_port
from tests.fleet import WorkerProcesses, open_installation
from workers.server import EmbeddedServer

JOBS = 50


def test_y04_a_replica_takes_over_with_every_job_that_it_has(make_settings: MakeSettings, tmp_path: Path) -> None:
    """Y04: waiting, due later and waiting for another: all are on the replica, and end there."""
    with ExitStack() as ends:
        first, second = servers(ends, make_settings, tmp_path)
        shared = open_installation(make_settings(REDIS_URL=first.settings.redis_address()))
        ends.callback(shared.close)
        with replica_of(first, second) as replica:
            waiting = [spec_of(n=number) for number in range(JOBS)]
            later = spec_of(delay_seconds=0.5, n=-1)
            after = spec_of(depends_on=(waiting[-1].id,), n=-2)
            shared.queue.enqueue_many([*waiting, later, after])
            assert shared.redis.execute_command("WAIT", 1, 10_000) == 1  # type: ignore[no-untyped-call]
            assert first.process is not None
            first.process.kill()
            replica.execute_command("REPLICAOF", "NO", "ONE")
        there = open_installation(make_settings(REDIS_URL=second.settings.redis_address()))
        ends.callback(there.close)
        workers = WorkerProcesses(there.settings)
        workers.start("default")
        for number, spec in [*enumerate(waiting), (-1, later), (-2, after)]:
            assert there.queue.outcome(spec.id, 20).unwrap()["given"] == {"n": number}
        assert workers.stop() == [0]


def test_y04_a_durable_job_is_on_the_replica(make_settings: MakeSettings, tmp_path: Path) -> None:
    """Y04: where the server keeps no file, a replica confirms it; and says no when it is gone."""
    with ExitStack() as ends:
        first, second = servers(ends, make_settings, tmp_path)
        shared = open_installation(make_settings(REDIS_URL=first.settings.redis_address()))
        ends.callback(shared.close)
        shared.redis.config_set("appendonly", "no")
        with replica_of(first, second) as replica:
            assert shared.redis.execute_command("WAIT", 1, 10_000) == 1  # type: ignore[no-untyped-call]
            ref = shared.queue.enqueue(spec_of(1), durable=True)
            assert ref.durable is True
            assert replica.hget(f"rq:job:{ref.id}", "status") == b"queued"
            assert second.process is not None
            second.process.kill()
            second.process.wait()
        ref = shared.queue.enqueue(spec_of(2), durable=True)
        assert (ref.created, ref.durable) == (True, False)


def servers(ends: ExitStack, make_settings: MakeSettings, tmp_path: Path) -> list[EmbeddedServer]:
    return [
        ends.enter_context(EmbeddedServer(make_settings(LTMC_HOME=tmp_path / name, REDIS_PORT=free_port())))
        for name in ("first", "second")
    ]


@contextmanager
def replica_of(first: EmbeddedServer, second: EmbeddedServer) -> Iterator[Redis]:
    """The second, from now on the first one's replica."""
    with (
        Redis.from_url(first.settings.redis_address()) as primary,
        Redis.from_url(second.settings.redis_address()) as replica,
    ):
        primary.config_set("repl-diskless-sync-delay", 0)  # it would wait five seconds for more replicas
        replica.config_set("masterauth", (first.directory / "password").read_text().strip())
        replica.replicaof("127.0.0.1", first.settings.redis_port)
        yield replica


def spec_of(n: int, **more: object) -> JobSpec:
    return JobSpec(kind=kinds.ECHO, args={"n": n}, project="default", **more)  # type: ignore[arg-type]


@pytest.mark.slow
def test_y04_a_copy_made_while_it_runs_is_the_whole_memory(
    platform: Platform, own_platform: Callable[..., Platform]
) -> None:
    """Y04: SQLite's own online copy, alone in another home, with a Redis that knows nothing."""
    with web_of(platform.url, params={"project": "copied"}) as web:
        for name in ("bees", "moss", "tides"):
            store(web, f"{name}.md", wait_for="linked")
    other = own_platform(LTMC_DASHBOARD="false", LTMC_WORKERS=1)
    other.home.mkdir(mode=0o700)
    copy = settings_of(other).records_file
    with closing(sqlite3.connect(settings_of(platform).records_file)) as source, closing(sqlite3.connect(copy)) as made:
        source.backup(made)
    copy.chmod(0o600)
    other.workers("start", "--detach")
    with web_of(other.url, params={"project": "copied", "wait": 30}) as web:
        found = web.post("/tools/retrieve_memory", json={"query": "About moss.md.", "top_k": 3}).json()
        assert found["retrieved_chunks"][0]["file_name"] == "moss.md"
        assert {chunk["match"] for chunk in found["retrieved_chunks"]} <= {"meaning", "both"}, "by their vectors, too"
        assert found["total_results"] == 3
        assert store(web, "moss.md", content="Moss sleeps.")["version"] == 2
