"""The embedded server: one owner, private files, a password, durable writes, orphans cleared, ports named."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import redis
from pydantic import SecretStr

from ltmc_jobs.errors import Misconfigured, QueueUnavailable
from ltmc_jobs.private_files import own
from tests.conftest import MakeSettings, clean_environment, free_port
from workers import ports, processes
from workers.server import EmbeddedServer, ping, quoted

KILLED_OWNER = """
import os, signal
from ltmc_jobs.settings import Settings
from workers.server import EmbeddedServer
server = EmbeddedServer(Settings.load())
server.start()
print(server.process.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def server(make_settings: MakeSettings) -> Iterator[EmbeddedServer]:
    with EmbeddedServer(make_settings(REDIS_PORT=free_port())) as running:
        yield running


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_it_is_configured_for_a_queue(redis_server: EmbeddedServer) -> None:
    """D04: nothing is evicted, every write is in the append-only file."""
    with redis.Redis.from_url(redis_server.settings.redis_address(), decode_responses=True) as client:
        options = client.config_get("*")
    assert options["maxmemory-policy"] == "noeviction"
    assert (options["appendonly"], options["appendfsync"], options["save"]) == ("yes", "everysec", "")
    assert options["stream-node-max-bytes"] == "256"
    assert (options["hash-max-listpack-value"], options["hash-max-listpack-entries"]) == ("2048", "128")


def test_it_listens_on_loopback_alone(redis_server: EmbeddedServer) -> None:
    assert redis_server.process is not None
    listening = psutil.Process(redis_server.process.pid).net_connections("tcp")
    addresses = {c.laddr.ip for c in listening if c.status == psutil.CONN_LISTEN}
    assert addresses <= {"127.0.0.1", "::1"}
    assert addresses


def test_it_asks_for_the_password_that_it_made(redis_server: EmbeddedServer) -> None:
    """V09: no default password, and none on a command line."""
    settings = redis_server.settings
    password = (settings.redis_directory / "password").read_text().strip()
    assert len(password) >= 43
    wrong = settings.model_copy(update={"redis_password": SecretStr("guessed")})
    with pytest.raises(QueueUnavailable, match="invalid username-password"):
        ping(wrong)
    assert redis_server.process is not None
    assert password not in " ".join(psutil.Process(redis_server.process.pid).cmdline())


def test_its_files_are_its_owners_alone(redis_server: EmbeddedServer) -> None:
    """X09: directories 0700, files 0600."""
    home = redis_server.settings.home
    assert [mode(path) for path in (home, home / "redis", home / "logs")] == [0o700] * 3
    assert [mode(home / "redis" / name) for name in ("password", "valkey.conf", "lock")] == [0o600] * 3


def test_a_directory_in_use_keeps_its_rights(make_settings: MakeSettings, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir(mode=0o755)
    (shared / "somebody").touch()
    with EmbeddedServer(make_settings(LTMC_HOME=shared, REDIS_PORT=free_port())):
        assert (mode(shared), mode(shared / "redis")) == (0o755, 0o700)


def test_a_second_owner_is_told_who_is_first(server: EmbeddedServer) -> None:
    with pytest.raises(Misconfigured, match=f"in use by pid {os.getpid()}"):
        EmbeddedServer(server.settings).start()
    ping(server.settings)


def test_what_was_written_is_there_after_a_stop_and_a_kill(make_settings: MakeSettings) -> None:
    settings = make_settings(REDIS_PORT=free_port())
    with EmbeddedServer(settings), redis.Redis.from_url(settings.redis_address()) as client:
        client.set("kept", "by a stop")
    with EmbeddedServer(settings) as server, redis.Redis.from_url(settings.redis_address()) as client:
        assert client.get("kept") == b"by a stop"
        client.set("kept", "by the file")
        assert client.waitaof(1, 0, 5000)[0] == 1
        assert server.process is not None
        server.process.kill()
        server.process.wait()
    with EmbeddedServer(settings), redis.Redis.from_url(settings.redis_address()) as client:
        assert client.get("kept") == b"by the file"


def test_an_orphan_is_stopped_before_another_starts(make_settings: MakeSettings) -> None:
    settings = make_settings(REDIS_PORT=free_port())
    environment = clean_environment(settings.home, REDIS_PORT=settings.redis_port)
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_OWNER], env=environment, capture_output=True, text=True, check=False
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    orphan = int(killed.stdout)
    assert processes.alive(psutil.Process(orphan))
    with EmbeddedServer(settings) as server:
        ping(settings)
        assert server.process is not None
        assert not [p for p in psutil.process_iter() if p.pid == orphan and processes.alive(p)]


def test_a_pid_that_is_somebody_elses_is_left_alone(make_settings: MakeSettings) -> None:
    settings = make_settings(REDIS_PORT=free_port())
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        settings.redis_directory.mkdir(parents=True)
        (settings.redis_directory / "valkey.pid").write_text(f"{stranger.pid}\n")
        with EmbeddedServer(settings):
            assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_port_in_use_is_named_with_its_owner_and_the_variable(make_settings: MakeSettings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Misconfigured, match=rf"port {port} .*pid {os.getpid()}.*REDIS_PORT"):
            EmbeddedServer(make_settings(REDIS_PORT=port)).start()


def test_a_free_port_is_free() -> None:
    ports.require_free("localhost", free_port(), "HTTP_PORT")


def test_a_password_of_the_users_own_may_hold_anything(make_settings: MakeSettings) -> None:
    """V09: REDIS_PASSWORD is honoured by the embedded server too."""
    settings = make_settings(REDIS_PORT=free_port(), REDIS_PASSWORD='a "quoted" \\ p@ss/wörd #1')
    with EmbeddedServer(settings):
        ping(settings)
        assert not (settings.redis_directory / "password").exists()


def test_an_unreachable_server_is_named_without_its_password(make_settings: MakeSettings) -> None:
    settings = make_settings(REDIS_URL=f"redis://:sesame@127.0.0.1:{free_port()}/0")
    with pytest.raises(QueueUnavailable) as caught:
        ping(settings)
    assert "127.0.0.1" in str(caught.value)
    assert "sesame" not in str(caught.value)


def test_a_failed_start_says_why_and_leaves_nothing(make_settings: MakeSettings) -> None:
    settings = make_settings(REDIS_PORT=free_port())
    broken = settings.redis_directory / "appendonlydir"
    broken.parent.mkdir(parents=True)
    broken.write_text("not a directory")
    with pytest.raises(Misconfigured, match=r"redis\.log"):
        EmbeddedServer(settings).start()
    own(settings.redis_directory / "lock").close()


def test_quoting_keeps_every_character() -> None:
    assert quoted('a"b\\c\n') == '"a\\x22b\\x5cc\\x0a"'
