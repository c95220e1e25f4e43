"""D09: the doctor's looks, each provoked: a misfit is a problem with its cure, and a sound part is none."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from api import doctor, doctor_machine, doctor_platform
from api.finding import Finding, Patient
from ltmc_jobs.orchestration.installation import Installation
from ltmc_jobs.queues.envelope import Keyring
from ltmc_jobs.settings import Settings

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
    assert problems(doctor_platform.look_at_clock(patient)) == []


@pytest.mark.parametrize(
    ("option", "sound", "unsound", "told"),
    [("maxmemory-policy", "noeviction", "allkeys-lru", "evicts keys"), ("maxmemory", "0", "1", "90 % of its memory")],
)
def test_d09_an_unfit_redis_is_told(patient: Patient, option: str, sound: str, unsound: str, told: str) -> None:
    """D09: no jobs may be lost to eviction."""
    with redis.Redis.from_url(patient.settings.redis_address()) as connection:
        connection.config_set(option, unsound)
        try:
            found = problems(doctor_platform.look_at_redis(patient))
        finally:
            connection.config_set(option, sound)
    assert [told in finding.what for finding in found] == [True]


def test_d09_a_redis_that_is_away_or_refuses_is_told_without_its_password(make_settings: MakeSettings) -> None:
    """D09: Redis connection failed."""
    for address in ("redis://:hunter2@127.0.0.1:1/0", "redis://:hunter2@192.0.2.1:x/0", "nonsense"):
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
