"""Y06, J25: what makes a Redis unfit for a queue is refused or told, on servers that were started so."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import redis

from api import doctor_platform
from api.finding import Patient
from api.health import STORES, Health
from ltmc_jobs import keys
from ltmc_jobs.errors import Misconfigured, QueueUnavailable
from ltmc_jobs.queues import fitness
from ltmc_jobs.queues.claims import Claims
from ltmc_jobs.queues.fitness import Finding, findings, judge, require_fit
from ltmc_jobs.registry import Queue
from tests.conftest import MakeSettings, clean_environment, free_port, wait_until
from tests.fleet import ROOT
from workers.server import find_binary

SOUND = {"appendonly": "yes"} | {name: str(value) for name, value in fitness.COMPACT.items()}
JOB = {
    **dict.fromkeys(("created_at", "enqueued_at", "started_at", "ended_at"), "2026-01-01T00:00:00.123456Z"),
    **dict.fromkeys((f"field_{number}" for number in range(9)), "value"),
    "description": "store_memory(content='Test with orchestration', file_name='test.md')",
    "origin": "default",
    "status": "finished",
    "timeout": 300,
    "result_ttl": 3600,
    "failure_ttl": 86400,
    "meta": json.dumps({"name": "store_memory", "project": "default", "trace_id": "0" * 36}),
    "worker_name": "host.1234.default.0",
    "ltmc_attempts": 1,
}


@contextmanager
def serving(directory: Path, *arguments: str, **options: str) -> Iterator[redis.Redis]:
    """A server with these options, ready."""
    port = free_port()
    given = {"port": str(port), "bind": "127.0.0.1", "dir": str(directory), "save": ""} | options
    written = itertools.chain.from_iterable((f"--{name.replace('_', '-')}", value) for name, value in given.items())
    with (directory / "server.log").open("wb") as log:
        process = subprocess.Popen([str(find_binary()), *written, *arguments], stdout=log, stderr=log)
    try:
        with redis.Redis(port=port) as connection:

            def answers() -> bool:
                with suppress(redis.ConnectionError):
                    return bool(connection.ping())
                return False

            wait_until(answers, 10, "the server answers")
            yield connection
    finally:
        process.kill()  # while its first append-only file is written, it would not end otherwise
        process.wait()


def address(connection: redis.Redis) -> str:
    return f"redis://127.0.0.1:{connection.get_connection_kwargs()['port']}/0"


def named(found: list[Finding]) -> dict[str, str]:
    """Severity by name; each finding says what, why, and the cure."""
    assert all(finding.what and finding.why and finding.cure for finding in found)
    assert [str(finding).count("\n") for finding in found] == [0] * len(found)
    return {finding.name: finding.severity for finding in found}


def cure(connection: redis.Redis, found: list[Finding]) -> None:
    """Do what the cures say, to the letter."""
    for option in re.findall(r"CONFIG SET ([^,]+),", " ".join(finding.cure for finding in found)):
        connection.config_set(*option.split())


def test_y06_the_embedded_server_is_fit(redis_url: str) -> None:
    """Y06: nothing is found on a server that is set up as it should be."""
    with redis.Redis.from_url(redis_url) as connection:
        assert findings(connection) == []


def test_y06_a_server_as_it_comes_is_told_of_with_cures_that_help(tmp_path: Path) -> None:
    """Y06: no persistence and wasteful sizes are flagged, not refused; the CONFIG SET of each cure ends it."""
    with serving(tmp_path) as connection:
        found = findings(connection)
        assert named(found) == {"persistence": "warn", "sizes": "warn"}
        assert "loses every job" in str(found[0])
        connection.config_set("save", "60 1000")
        assert "since its last snapshot" in str(findings(connection)[0])
        cure(connection, found)
        assert findings(connection) == []


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"maxmemory_policy": "allkeys-lru"}, {"eviction": "refuse"}),
        ({"maxmemory_policy": "volatile-ttl"}, {"eviction": "refuse"}),
        ({"appendfsync": "no"}, {"fsync": "warn"}),
        ({"stream_node_max_bytes": "4096"}, {"sizes": "warn"}),
        ({"stream_node_max_bytes": "0"}, {"sizes": "warn"}),
        ({"hash_max_listpack_value": "64"}, {"sizes": "warn"}),
        ({"hash_max_listpack_entries": "16"}, {"sizes": "warn"}),
    ],
)
def test_y06_each_wrong_setting_is_told_alone_with_a_cure_that_helps(
    tmp_path: Path, options: dict[str, str], expected: dict[str, str]
) -> None:
    """Y06: an evicting policy is refused; what costs safety or memory is flagged."""
    sound = {name.replace("-", "_").replace("ziplist", "listpack"): value for name, value in SOUND.items()}
    with serving(tmp_path, **sound | options) as connection:
        found = findings(connection)
        assert named(found) == expected
        cure(connection, found)
        assert findings(connection) == []


def test_y06_memory_that_is_nearly_used_up_is_told(tmp_path: Path) -> None:
    """Y06: before writes are refused, not after."""
    with serving(tmp_path, **SOUND) as connection:
        connection.config_set("maxmemory", int(connection.info("memory")["used_memory"] * 1.05))
        found = findings(connection)
        assert named(found) == {"memory": "warn"}
        assert "90 %" in str(found[0])
        cure(connection, found)
        assert findings(connection) == []


def test_j25_a_cluster_is_refused(tmp_path: Path) -> None:
    """J25: Cluster is explicitly not offered, and said so before anything is written."""
    with serving(tmp_path, **SOUND, cluster_enabled="yes", cluster_port=str(free_port())) as connection:
        assert named(findings(connection)) == {"cluster": "refuse"}


def test_y06_a_replica_is_refused_and_its_primary_named(tmp_path: Path) -> None:
    """Y06: jobs written there would be lost."""
    primary = free_port()
    with serving(tmp_path, **SOUND, replicaof=f"127.0.0.1 {primary}") as connection:
        found = findings(connection)
        assert named(found) == {"replica": "refuse"}
        assert f"127.0.0.1:{primary}" in found[0].cure


@pytest.mark.parametrize(("seconds", "told"), [(30.0, "ahead of"), (-30.0, "behind"), (4.0, ""), (-4.0, "")])
def test_y06_a_clock_that_is_far_off_is_told(redis_url: str, seconds: float, told: str) -> None:
    """Y06: this host's clock against the server's, beyond 5 s."""
    with redis.Redis.from_url(redis_url) as connection:
        found = findings(connection, clock=lambda: time.time() + seconds)
    assert named(found) == ({"clock": "warn"} if told else {})
    assert all(f"{told} the server's" in finding.what for finding in found)


def test_y06_an_answer_that_takes_long_is_no_clock_that_is_off(redis_url: str) -> None:
    """Y06: the round trip's own doubt is taken off."""
    ticks = iter((time.time() - 14.0, time.time()))
    with redis.Redis.from_url(redis_url) as connection:
        assert findings(connection, clock=lambda: next(ticks)) == []


def test_y06_a_server_that_is_too_old_is_refused(redis_url: str) -> None:
    """Y06: a sound server's own answer, with an older version in it."""
    with redis.Redis.from_url(redis_url) as connection:
        info, options = connection.info(), connection.config_get("*")
    for version, refused in (("2.8.24", True), ("6.0.16", True), ("6.2.0", False), ("10.0.1", False)):
        found = judge(info | {"redis_version": version}, options, allow_eviction=False)
        assert named(found) == ({"version": "refuse"} if refused else {}), version


def test_y06_old_servers_have_other_names_for_the_limits() -> None:
    """Y06: Redis 6.2 knows ziplists only; the cure speaks its language."""
    old = {"stream-node-max-bytes": "256", "hash-max-ziplist-entries": "512", "hash-max-ziplist-value": "64"}
    (found,) = judge({"redis_version": "6.2.14"}, old, allow_eviction=False)
    assert "CONFIG SET hash-max-ziplist-value 2048," in found.cure


def test_y06_a_server_that_forbids_its_settings_is_no_failure(tmp_path: Path) -> None:
    """Y06: managed servers; what INFO tells is still refused."""
    with serving(tmp_path, "--rename-command", "CONFIG", "", maxmemory_policy="allkeys-lfu") as connection:
        found = findings(connection)
        assert named(found) == {"eviction": "refuse", "persistence": "warn", "unchecked": "note"}
        assert "CONFIG GET" in found[-1].what
        connection.acl_setuser("limited", enabled=True, nopass=True, categories=["+@all"], commands=["-info"], keys="*")
        with redis.Redis.from_url(address(connection).replace("//", "//limited:x@")) as limited:
            assert named(findings(limited)) == {"unchecked": "note"}


def test_y06_a_start_refuses_or_says_it(make_settings: MakeSettings, tmp_path: Path) -> None:
    """Y06: a line for each reason, and what only warns is said; LTMC_ALLOW_EVICTION=1 makes it a warning."""
    said: list[str] = []
    with serving(tmp_path, **SOUND | {"appendfsync": "no"}, maxmemory_policy="allkeys-lru") as connection:
        url = address(connection)
        with pytest.raises(Misconfigured, match=r"allkeys-lru.*CONFIG SET.*LTMC_ALLOW_EVICTION=1"):
            require_fit(make_settings(REDIS_URL=url), said.append)
        assert said == []
        require_fit(make_settings(REDIS_URL=url, LTMC_ALLOW_EVICTION=1), said.append)
    assert [line.partition(" ")[0] for line in said] == ["WARNING:", "WARNING:"]
    assert "drops queued jobs" in said[0]
    with pytest.raises(QueueUnavailable):
        require_fit(make_settings(REDIS_URL=url), said.append)


@pytest.mark.parametrize("command", ["start", "workers", "scheduler"])
def test_y06_no_command_starts_on_an_unfit_server(tmp_path: Path, command: str) -> None:
    """Y06, J25: exit code 2 and a line for each reason, no traceback, nothing written."""
    with serving(
        tmp_path, maxmemory_policy="allkeys-lru", cluster_enabled="yes", cluster_port=str(free_port())
    ) as connection:
        environment = clean_environment(tmp_path / "home", REDIS_URL=address(connection), HTTP_PORT=free_port())
        done = subprocess.run(
            [sys.executable, "-m", "workers", command],
            env=environment | {"PYTHONPATH": str(ROOT)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert connection.dbsize() == 0
    assert done.returncode == 2, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("ltmc: Redis at")]
    assert ["Cluster" in lines[0], "allkeys-lru" in lines[1]] == [True, True]
    assert "Traceback" not in done.stderr


def test_y06_health_and_doctor_show_it(
    make_settings: MakeSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Y06, D09: healthy with warnings; degraded while the server evicts, even if the user allows it."""
    monkeypatch.setattr("api.health.PROBE_AGE_SECONDS", 0.0)
    with serving(tmp_path, **SOUND) as connection:
        settings = make_settings(REDIS_URL=address(connection), LTMC_ALLOW_EVICTION=1)
        looking, patient = Health(settings), Patient(settings)
        list(doctor_platform.look_at_redis(patient))
        assert patient.redis is not None

        def looked(**options: Any) -> tuple[dict[str, Any], list[str]]:
            for name, value in options.items():
                connection.config_set(name.replace("_", "-"), value)
            Claims(connection, "process", list(Queue), {"queues": ",".join(Queue)}).renew()
            parts = {name: {"status": "healthy"} for name in STORES}
            probe = json.dumps({"at": connection.time()[0] + 1, "components": parts})
            connection.set(keys.key(keys.INSTALLATION, "probe", "stores"), probe, ex=15)
            problems = [found for found in doctor_platform.look_at_fitness(patient) if found.level == "problem"]
            assert all(found.cure for found in problems)
            return asyncio.run(looking.look()), [found.what for found in problems]

        sound, problems = looked()
        assert (sound["status"], "warnings" in sound["components"]["redis"], problems) == ("healthy", False, [])
        flagged, problems = looked(appendonly="no")
        shown = flagged["components"]["redis"]
        assert (flagged["status"], shown["status"], len(shown["warnings"])) == ("healthy", "healthy", 1)
        assert "append-only file" in shown["warnings"][0]
        assert "append-only file" in problems[0]
        evicting, problems = looked(appendonly="yes", maxmemory_policy="allkeys-lru")
        shown = evicting["components"]["redis"]
        assert (evicting["status"], shown["status"]) == ("degraded", "degraded")
        assert "allkeys-lru" in shown["error"]
        assert "allkeys-lru" in problems[0]
        patient.redis.close()
        looking.close()


def test_y06_a_job_of_usual_size_is_stored_compactly(redis_url: str) -> None:
    """Y06: with the embedded server's limits a hash with a kilobyte of data is one block, and so is its result."""
    result = {"type": 1, "created_at": JOB["created_at"], "return_value": '{"success": true}', "worker_name": "host.1"}
    with redis.Redis.from_url(redis_url) as connection:
        connection.hset("rq:job:usual", mapping=JOB | {"data": "x" * 1024})
        connection.xadd("rq:results:usual", result)
        assert len(JOB) >= 22
        assert connection.object("encoding", "rq:job:usual") == b"listpack"
        assert connection.memory_usage("rq:job:usual") < 2048
        assert connection.memory_usage("rq:results:usual") < 640
