"""`./start_workers.sh` as its user meets it: one platform of real processes, on ports and in a home of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis
import rq
from rq.serializers import JSONSerializer

from ltmc_jobs.settings import Settings
from ltmc_jobs.shared import Shared
from tests.conftest import MakeSettings, build_settings, clean_environment, free_port, wait_until
from workers import health, processes
from workers.pools import pools_of
from workers.record import Record
from workers.server import EmbeddedServer

ROOT = Path(__file__).resolve().parents[2]
STORE = {"name": "store_memory", "arguments": {"content": "Test with orchestration", "file_name": "test.md"}}


class Platform:
    """What the script started."""

    def __init__(self, home: Path, **variables: object) -> None:
        self.variables = {"HTTP_PORT": free_port(), "REDIS_PORT": free_port(), "LETTA_WORKER_COUNT": 2} | variables
        self.settings = build_settings(home, **self.variables)
        self.environment = clean_environment(home, **self.variables)

    def call(self, *arguments: str, **variables: object) -> subprocess.CompletedProcess[str]:
        environment = self.environment | {name: str(value) for name, value in variables.items()}
        return subprocess.run(
            [*script(), *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=100
        )

    @property
    def record(self) -> Record:
        found = Record.load(self.settings)
        assert found is not None
        return found

    def supervisor(self) -> psutil.Process:
        return psutil.Process(self.record.supervisor.pid)

    def child(self, name: str) -> psutil.Process:
        return psutil.Process(self.record.children[name].pid)

    def fleet(self) -> list[psutil.Process]:
        return [process for process in self.child("workers").children() if processes.alive(process)]

    def is_healthy(self) -> bool:
        return health.is_healthy(health.ask(self.settings))


def script() -> list[str]:
    """The script itself where this Python is the one that it would use; else what it runs after its set-up."""
    is_set_up = (ROOT / ".venv" / ".setup-dev").exists() and Path(sys.prefix) == ROOT / ".venv"
    return ["./start_workers.sh"] if is_set_up else [sys.executable, "-m", "workers"]


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Platform, subprocess.CompletedProcess[str]]]:
    home = tmp_path_factory.mktemp("platform") / "home"
    platform = Platform(home, DB_PATH="records/mine.db", FAISS_INDEX_PATH="my_index")
    said = platform.call("start", "--detach")
    try:
        assert said.returncode == 0, said.stdout + said.stderr
        yield platform, said
    finally:
        platform.call("stop")


@pytest.fixture
def platform(started: tuple[Platform, subprocess.CompletedProcess[str]]) -> Platform:
    return started[0]


def jsonrpc(platform: Platform, method: str, **parameters: Any) -> Any:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}).encode()
    request = urllib.request.Request(
        f"{platform.settings.http_url}/jsonrpc", body, {"Content-Type": "application/json"}
    )
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=40) as answer:
        return json.load(answer)


def test_d01_one_command_starts_everything(started: tuple[Platform, subprocess.CompletedProcess[str]]) -> None:
    """It waits until all is healthy, and says what runs where and what to try."""
    platform, said = started
    assert platform.is_healthy()
    for word in (platform.settings.http_url, str(platform.settings.home), "store_memory", "rq/open?ticket="):
        assert word in said.stdout
    assert set(platform.record.children) == {"redis", "api", "workers", "dashboard"}


def test_d01_started_twice_it_says_so(platform: Platform) -> None:
    before = platform.record
    again = platform.call("start")
    assert again.returncode == 0
    assert f"already running: {platform.settings.http_url} (pid {before.supervisor.pid})" in again.stdout
    assert platform.record == before


def test_d01_status_shows_it(platform: Platform) -> None:
    status = platform.call("status")
    assert status.returncode == 0
    assert status.stdout.startswith("healthy")
    assert platform.settings.http_url in status.stdout


def test_status_needs_no_other_setting_than_the_home(platform: Platform) -> None:
    """A wrong level must not keep anybody from seeing what runs."""
    status = platform.call("status", LOG_LEVEL="loud", ORCHESTRATION_MODE="x", HTTP_PORT=1)
    assert status.returncode == 0, status.stderr
    assert status.stdout.startswith("healthy")
    assert f"127.0.0.1 port {platform.settings.http_port}" in status.stdout


def test_two_wrong_settings_are_two_lines(tmp_path: Path, platform: Platform) -> None:
    refused = platform.call("start", LTMC_HOME=tmp_path / "other", LOG_LEVEL="loud", ORCHESTRATION_MODE="x")
    assert refused.returncode == 2
    assert [line[:9] for line in refused.stderr.splitlines()] == ["ltmc: LOG", "ltmc: ORC"]


def test_a_forged_job_leaves_no_traceback(platform: Platform) -> None:
    """It is refused in a line; a traceback is for faults of ours."""
    log = platform.settings.home / "logs" / "workers.log"
    with redis.Redis.from_url(platform.settings.redis_address()) as connection:
        forged = rq.Queue("default", connection=connection, serializer=JSONSerializer).enqueue("os.getcwd")
    wait_until(lambda: forged.id in log.read_text(), 20)
    said = [line for line in log.read_text().splitlines() if forged.id in line]
    assert any("job refused" in line and "no signed envelope" in line for line in said)
    assert not [line for line in said if "Traceback" in line]


def test_t01_it_listens_on_loopback_alone(platform: Platform) -> None:
    listening = {
        (connection.laddr.ip, connection.laddr.port)
        for process in [platform.supervisor(), *platform.supervisor().children(recursive=True)]
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    }
    assert {address for address, _ in listening} <= {"127.0.0.1", "::1"}
    assert {port for _, port in listening} == {platform.settings.http_port, platform.settings.redis_port}


def test_t01_with_no_environment_it_is_localhost_5050(make_settings: MakeSettings) -> None:
    settings = make_settings()
    assert (settings.http_host, settings.http_port, settings.redis_port) == ("localhost", 5050, 6381)


@pytest.mark.parametrize("port", ["0", "65536", "http"])
def test_t01_a_bad_port_is_refused_in_one_line(platform: Platform, port: str) -> None:
    refused = platform.call("start", HTTP_PORT=port)
    assert refused.returncode == 2
    assert re.fullmatch(rf"ltmc: HTTP_PORT: .*{port}.*\n", refused.stderr)


def test_a_port_in_use_is_named_with_its_owner_and_the_variable(platform: Platform, tmp_path: Path) -> None:
    refused = platform.call("start", LTMC_HOME=tmp_path / "other", REDIS_PORT=free_port())
    assert refused.returncode == 2
    owner = platform.record.children["api"].pid
    assert re.search(rf"port {platform.settings.http_port} is in use by \S+ \(pid {owner}\).*HTTP_PORT", refused.stderr)


def test_d05_the_fleet_is_as_it_is_asked_for(platform: Platform) -> None:
    """V23: LETTA_WORKER_COUNT is the number of default-queue processes; one process more is the scheduler."""
    wanted = sum(pool.processes for pool in pools_of(platform.settings, with_stores=True)) + 1
    assert len(platform.fleet()) == wanted
    assert health.ask(platform.settings)["workers"]["default"] == 2


def test_d05_a_dead_worker_is_replaced(platform: Platform) -> None:
    before = {process.pid for process in platform.fleet()}
    victim = max(before)
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: len({process.pid for process in platform.fleet()} - {victim}) == len(before), 3)


def test_a_child_that_dies_is_started_again(platform: Platform) -> None:
    api = platform.record.children["api"].pid
    os.kill(api, signal.SIGKILL)
    wait_until(lambda: platform.record.children.get("api") and platform.record.children["api"].pid != api, 5)
    wait_until(platform.is_healthy, 20)


def test_v06_the_stores_are_where_the_settings_say(platform: Platform) -> None:
    """DB_PATH and FAISS_INDEX_PATH, relative to the home."""
    answer = jsonrpc(platform, "tools/call", **STORE)
    assert "result" in answer, answer
    home = platform.settings.home
    assert (home / "records" / "mine.db").is_file()
    assert (home / "my_index").is_dir()


def test_x09_only_the_owner_can_read_anything(platform: Platform) -> None:
    """Directories 0700, files 0600."""
    for path in [platform.settings.home, *platform.settings.home.rglob("*")]:
        if not path.name.startswith("temp-"):  # Redis' own, on their way
            rights = stat.S_IMODE(path.stat().st_mode)
            assert rights & 0o077 == 0, f"{path}: {rights:o}"


def test_v09_the_password_is_shown_nowhere(started: tuple[Platform, subprocess.CompletedProcess[str]]) -> None:
    platform, said = started
    password = (platform.settings.redis_directory / "password").read_text().strip()
    shown = [said.stdout, said.stderr, json.dumps(health.ask(platform.settings))]
    shown += [log.read_text(errors="replace") for log in (platform.settings.home / "logs").iterdir()]
    shown += [" ".join(process.cmdline()) for process in platform.supervisor().children(recursive=True)]
    assert password
    assert not [text for text in shown if password in text]


def test_v09_the_address_wins_over_its_parts(make_settings: MakeSettings, redis_server: EmbeddedServer) -> None:
    """Two servers: the connection goes to the one that REDIS_URL names, and without it to the one of the parts."""
    second = make_settings(REDIS_PORT=free_port(), REDIS_PASSWORD="of the second", LTMC_SIGNING_KEY="k" * 40)
    with EmbeddedServer(second):
        parts = {"REDIS_HOST": "127.0.0.1", "REDIS_PORT": second.redis_port, "REDIS_PASSWORD": "of the second"}
        key = {"LTMC_SIGNING_KEY": "k" * 40}
        assert port_reached(make_settings(**parts, **key)) == second.redis_port
        both = make_settings(REDIS_URL=redis_server.settings.redis_address(), **parts, **key)
        assert port_reached(both) == redis_server.settings.redis_port


def port_reached(settings: Settings) -> int:
    shared = Shared.open(settings)
    try:
        return int(shared.redis.info("server")["tcp_port"])
    finally:
        shared.close()


def test_redis_beyond_this_machine_needs_a_password(platform: Platform, tmp_path: Path) -> None:
    """X01."""
    refused = platform.call(
        "start", LTMC_HOME=tmp_path / "other", HTTP_PORT=free_port(), REDIS_URL="redis://192.0.2.1:6379/0"
    )
    assert refused.returncode == 2
    assert "REDIS_PASSWORD" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def test_nothing_outlives_a_killed_supervisor_and_the_next_start_works(platform: Platform) -> None:
    everything = platform.supervisor().children(recursive=True)
    children = [process for process in everything if process.name() != "sh"]
    platform.supervisor().kill()
    for process in children:
        assert processes.wait_gone(process, 15), process
    assert platform.call("status").returncode == 3
    again = platform.call("start", "--detach")
    assert again.returncode == 0, again.stdout + again.stderr


def test_d01_stop_stops_what_was_started_and_only_that(platform: Platform, redis_server: EmbeddedServer) -> None:
    everything = [platform.supervisor(), *platform.supervisor().children(recursive=True)]
    stopped = platform.call("stop", LOG_LEVEL="loud")
    assert stopped.returncode == 0
    assert not [process for process in everything if processes.alive(process)]
    assert redis_server.process is not None
    assert redis_server.process.poll() is None
    assert platform.call("status").returncode == 3
    assert platform.call("stop").stdout == "not running\n"


def test_d01_in_the_foreground_an_interrupt_stops_everything(platform: Platform) -> None:
    running = subprocess.Popen(
        [*script(), "start"], cwd=ROOT, env=platform.environment, stdout=subprocess.PIPE, text=True
    )
    try:
        wait_until(lambda: platform.call("status").returncode == 0, 40)
        everything = platform.supervisor().children(recursive=True)
        began = time.monotonic()
        running.send_signal(signal.SIGINT)
        said = running.communicate(timeout=40)[0]
        assert running.returncode == 0
        assert said.rstrip().endswith("stopped")
        assert time.monotonic() - began < 20
        assert not [process for process in everything if processes.alive(process)]
    finally:
        running.kill()
