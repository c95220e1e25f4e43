"""D09: the doctor's looks, each provoked: a misfit is a problem with its cure, and a sound part is none."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import redis

from api import doctor, doctor_machine, doctor_platform
from api.finding import Finding, Patient
from ltmc_jobs import keys, stores
from ltmc_jobs.orchestration.installation import Installation
from ltmc_jobs.queues.envelope import Keyring
from ltmc_jobs.registry import Queue
from ltmc_jobs.settings import Settings
from workers.server import EmbeddedServer

MakeSettings = Callable[..., Settings]


@pytest.fixture
def patient(settings: Settings) -> Iterator[Patient]:
    """A home and the private server."""
    made = Patient(settings)
    yield made
    if made.redis is not None:
        made.redis.close()


def problems(findings: Iterator[Finding]) -> list[Finding]:
    found = [finding for finding in findings if finding.level == "problem"]
    assert all(finding.cure for finding in found)
    return found


def test_d09_a_sound_redis_is_no_problem(patient: Patient) -> None:
    assert problems(doctor_platform.look_at_redis(patient)) == []
    assert problems(doctor_platform.look_at_fitness(patient)) == []


@pytest.mark.parametrize(
    ("option", "sound", "unsound", "told"),
    [("maxmemory-policy", "noeviction", "allkeys-lru", "evicts keys"), ("maxmemory", "0", "1", "90 % of its memory")],
)
def test_d09_an_unfit_redis_is_told(patient: Patient, option: str, sound: str, unsound: str, told: str) -> None:
    """D09: no jobs may be lost to eviction."""
    with redis.Redis.from_url(patient.settings.redis_address()) as connection:
        connection.config_set(option, unsound)
        try:
            assert problems(doctor_platform.look_at_redis(patient)) == []
            found = problems(doctor_platform.look_at_fitness(patient))
        finally:
            connection.config_set(option, sound)
    assert [told in finding.what for finding in found] == [True]


def test_d09_a_redis_that_is_away_or_refuses_is_told_without_its_password(make_settings: MakeSettings) -> None:
    """D09: Redis connection failed."""
    for address in ("redis://:hunter2@127.0.0.1:1/0", "redis://192.0.2.1:1/0?secret=hunter2"):
        patient = Patient(make_settings(REDIS_URL=address))
        found = problems(doctor_platform.look_at_redis(patient))
        assert len(found) == 1
        assert "hunter2" not in found[0].what + found[0].cure
        assert patient.redis is None


def test_d09_a_redis_of_another_home_is_told(patient: Patient, tmp_path: Path) -> None:
    """D09: nothing ever writes into a second memory by accident."""
    list(doctor_platform.look_at_redis(patient))
    assert patient.redis is not None
    for home in (tmp_path / "other", patient.settings.home):
        home.mkdir(exist_ok=True)
        Installation(patient.redis, home)._file.write_text(f"{home.name}\n")
    Installation(patient.redis, tmp_path / "other").register()
    found = problems(doctor_platform.look_at_installation(patient))
    assert ["another LTMC_HOME" in finding.what for finding in found] == [True]


def test_d09_rights_and_missing_keys_are_told(make_settings: MakeSettings) -> None:
    """D09: what other users could read."""
    patient = Patient(make_settings())
    home = patient.settings.home
    assert [finding.level for finding in doctor_machine.look_at_home(patient)] == ["note"]
    assert "no signing key" in problems(doctor_machine.look_at_signing_key(patient))[0].what
    home.mkdir(mode=0o755)
    Keyring.make(patient.settings)
    (home / "signing.key").chmod(0o644)
    assert [finding.cure for finding in problems(doctor_machine.look_at_home(patient))] == [
        f"chmod 700 {home}",
        f"chmod 600 {home / 'signing.key'}",
    ]
    home.chmod(0o700)
    (home / "signing.key").chmod(0o600)
    assert problems(doctor_machine.look_at_home(patient)) == []
    assert problems(doctor_machine.look_at_signing_key(patient)) == []
    (home / "signing.key").write_text("short\n")
    assert "too short" in problems(doctor_machine.look_at_signing_key(patient))[0].what


def test_d09_a_port_in_other_hands_is_told(make_settings: MakeSettings) -> None:
    """D09: with the pid of its owner."""
    import socket

    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        port = listening.getsockname()[1]
        patient = Patient(make_settings(HTTP_PORT=port, REDIS_PORT=port))
        # Nobody accepts: the answer must not be waited for.
        listening.close()
    assert problems(doctor_platform.look_at_api(patient))[0].cure == "./start_workers.sh"
    with socket.socket() as held:
        held.bind(("127.0.0.1", port))
        held.listen()
        found = problems(doctor_platform.look_at_ports(patient))
    assert f"port {port} is held by" in found[0].what
    assert f"(pid {os.getpid()})" in found[0].what


def test_d09_refused_jobs_are_told(patient: Patient) -> None:
    """D09: a host with another key."""
    list(doctor_platform.look_at_redis(patient))
    assert patient.redis is not None
    assert list(doctor_platform.look_at_refused_jobs(patient)) == []
    for reason in ("old", "not signed by this installation"):
        patient.redis.lpush(keys.key(keys.INSTALLATION, "refused"), f"2026-01-01T00:00:00Z id {reason}")
    patient.redis.expire(keys.key(keys.INSTALLATION, "refused"), 60)
    found = problems(doctor_platform.look_at_refused_jobs(patient))
    assert "2, the newest 2026-01-01T00:00:00Z id not signed by this installation" in found[0].what
    assert "signing.key" in found[0].cure


def test_d09_an_unknown_backend_is_told(make_settings: MakeSettings) -> None:
    """D09: before a worker dies of it."""
    assert problems(doctor_machine.look_at_backends(Patient(make_settings()))) == []
    patient = Patient(make_settings(RECORDS_URL="oracle:", VECTORS_URL="pine+x:", GRAPH_URL="nowhere"))
    assert {setting: tuple(schemes) for setting, schemes in stores.BACKENDS.items()} == doctor_machine.BACKENDS
    found = problems(doctor_machine.look_at_backends(patient))
    assert [finding.what.partition(":")[0] for finding in found] == ["RECORDS_URL", "VECTORS_URL", "GRAPH_URL"]


def test_d09_without_workers_there_is_one_problem(patient: Patient) -> None:
    """D09: what nobody publishes is not blamed on Neo4j or the disk."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            unknown = {"status": "unknown", "error": "no worker has looked"}
            parts = dict.fromkeys(("database", "vector_store", "neo4j"), unknown)
            body = {
                "status": "degraded",
                "components": parts,
                "queues_without_worker": [queue.value for queue in Queue],
            }
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, format: str, *args: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        patient.settings = patient.settings.model_copy(
            update={"http_port": server.server_port, "http_host": "127.0.0.1"}
        )
        list(doctor_platform.look_at_redis(patient))
        found = problems(iter([*doctor_platform.look_at_api(patient), *doctor_platform.look_at_workers(patient)]))
        thread.join()
    assert ["no worker for" in finding.what for finding in found] == [True]


def test_d09_a_key_that_went_while_it_runs_needs_a_stop_first(
    make_settings: MakeSettings, redis_server: EmbeddedServer
) -> None:
    """D09: a start of what runs does nothing."""
    port, password = redis_server.settings.redis_port, redis_server.settings.redis_directory / "password"
    patient = Patient(make_settings(REDIS_PORT=port, REDIS_PASSWORD=password.read_text().strip()))
    list(doctor_platform.look_at_redis(patient))
    assert patient.redis is not None
    assert "start_workers.sh stop, then" in problems(doctor_machine.look_at_signing_key(patient))[0].cure
    patient.redis.close()


def test_d09_a_check_that_fails_does_not_end_the_others(
    make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D09: a doctor that faints helps nobody."""

    def look_at_nothing(_patient: Patient) -> Iterator[Finding]:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(doctor, "LOOKS", (look_at_nothing, doctor_machine.look_at_python))
    settings = make_settings()
    monkeypatch.setattr(Settings, "load", lambda: settings)
    levels = [finding.level for finding in doctor.examine()]
    assert levels == ["fine", "problem", "fine"]
