"""docker-compose.redis.yml: its shape, no secret in it, and each service's own command as a plain process.

No container engine is needed: commands and environments are the file's; names, ports and the volume are replaced.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis
import yaml

from tests.conftest import clean_environment, free_port, wait_until
from workers.server import find_binary

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "docker-compose.redis.yml"
USERS = {"REDIS_PASSWORD": "of-the-user_1", "LTMC_TOKEN": "token-of-the-user_1", "LTMC_WORKERS": "2"}
OURS = ("workers", "scheduler", "api", "dashboard")
VARIABLE = re.compile(r"\$\{(\w+)(?:(:?[-?])([^}]*))?\}|\$\$")


def interpolated(value: Any, variables: dict[str, str]) -> Any:
    """A value as compose would fill it in."""

    def fill(found: re.Match[str]) -> str:
        if found[0] == "$$":
            return "$"
        given = variables.get(found[1], "")
        if not given and found[2] in ("?", ":?"):
            raise KeyError(f"{found[1]}: {found[3]}")
        return given or (found[3] if found[2] in ("-", ":-") else "")

    if isinstance(value, str):
        return VARIABLE.sub(fill, value)
    if isinstance(value, list):
        return [interpolated(part, variables) for part in value]
    if isinstance(value, dict):
        return {name: interpolated(part, variables) for name, part in value.items()}
    return value


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(FILE.read_text())
    return loaded


def test_every_service_is_whole(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert set(services) == {"redis", *OURS, "neo4j"}
    assert services["neo4j"]["profiles"] == ["neo4j"]
    for name, service in services.items():
        assert service.get("image"), name
        assert service["restart"] == "unless-stopped", name
        assert set(service.get("depends_on", {})) <= set(services), name
        for volume in service.get("volumes", []):
            assert volume.split(":")[0] in compose["volumes"], name


def test_d04_redis_is_limited_and_never_evicts(compose: dict[str, Any]) -> None:
    command = " ".join(compose["services"]["redis"]["command"])
    for option in ("--maxmemory ", "--maxmemory-policy noeviction", "--appendonly yes"):
        assert option in command


def test_only_the_api_is_published_and_only_on_loopback(compose: dict[str, Any]) -> None:
    published = {name: service["ports"] for name, service in compose["services"].items() if "ports" in service}
    assert published == {"api": ["127.0.0.1:${HTTP_PORT:-5050}:5050"]}


def test_whoever_touches_the_memory_shares_one_home(compose: dict[str, Any]) -> None:
    for name in OURS:
        assert compose["services"][name]["volumes"] == ["home:/data"]
        assert compose["services"][name]["environment"]["LTMC_HOME"] == "/data"


def test_d02_no_password_is_in_the_file() -> None:
    """Every secret comes from the environment, and none has a default."""
    text = FILE.read_text()
    secrets = re.findall(r"^ +\w*(?:PASSWORD|TOKEN|_AUTH|KEY): *(.+)$", text, re.MULTILINE)
    assert len(secrets) >= 4
    assert [value for value in secrets if not re.search(r"\$\{\w+(:\?[^}]+|-)\}$", value)] == []
    assert not re.search(r"://:?[^$\s]*[^$\s]@", text)


def test_d02_the_example_environment_has_no_working_secret(compose: dict[str, Any]) -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    example = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    assert [example[name] for name in ("REDIS_PASSWORD", "LTMC_TOKEN")] == ["", ""]
    with pytest.raises(KeyError, match="set it in"):
        interpolated(compose, example)


def test_the_dockerfile_is_for_no_root_and_copies_what_there_is() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    assert "USER ltmc" in lines
    for line in lines:
        if line.startswith("COPY ") and "--from" not in line:
            for pattern in line.split()[1:-1]:
                assert pattern == "README.md" or list(ROOT.glob(pattern)), line


def test_compose_itself_accepts_the_file() -> None:
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("the docker client has no compose here")
    checked = subprocess.run(
        [docker, "compose", "--profile", "neo4j", "-f", str(FILE), "config", "--quiet"],
        env=os.environ | USERS,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr


class Services:
    """The services as processes of this machine."""

    def __init__(self, compose: dict[str, Any], directory: Path) -> None:
        self._compose = interpolated(compose["services"], USERS)
        self._home = directory / "home"
        self._bin = directory / "bin"
        self.redis, self.http, self._dashboard = free_port(), free_port(), free_port()
        self.directory = directory
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        for made in (self._home, self._bin, directory / "redis"):
            made.mkdir(mode=0o700)
        # The image's server listens on its own port 6379; ours must be free, and for us alone.
        server = self._bin / "valkey-server"
        server.write_text(f'#!/bin/sh\nexec "{find_binary()}" --port {self.redis} --bind 127.0.0.1 "$@"\n')
        server.chmod(0o755)

    def _here(self, text: str) -> str:
        text = text.replace("@redis:6379", f"@127.0.0.1:{self.redis}").replace("/data", str(self._home))
        text = text.replace("0.0.0.0:9181", f"127.0.0.1:{self._dashboard}")
        text = text.replace("dashboard:9181", f"127.0.0.1:{self._dashboard}")
        return str(self.http) if text == "5050" else text

    def start(self, name: str) -> None:
        service = self._compose[name]
        command = [sys.executable if word == "python" else self._here(word) for word in service["command"]]
        environment = clean_environment(self._home) | {
            variable: self._here(value) for variable, value in service["environment"].items()
        }
        environment["PATH"] = f"{self._bin}:{environment['PATH']}"
        with (self.directory / f"{name}.log").open("wb") as log:
            self.processes[name] = subprocess.Popen(
                command,
                cwd=self.directory / "redis" if name == "redis" else ROOT,
                env=environment,
                stdout=log,
                stderr=log,
            )

    def is_ready(self, name: str) -> bool:
        """What its health check would say."""
        if name == "workers":
            return (self._home / "signing.key").exists() and (self._home / "signing.key").stat().st_size > 0
        return b"Ready to accept connections" in (self.directory / f"{name}.log").read_bytes()

    def ask(self, path: str, headers: dict[str, str] | None = None, body: bytes | None = None) -> Any:
        request = urllib.request.Request(f"http://127.0.0.1:{self.http}{path}", body, headers or {})
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=40) as answer:
                return json.load(answer)
        except OSError:
            return {}

    def stop(self) -> dict[str, int]:
        """In compose's order: whoever depends on another first. Exit codes by name."""
        codes: dict[str, int] = {}
        for name in ("dashboard", "api", "scheduler", "workers", "redis"):
            if name in self.processes:
                self.processes[name].terminate()
                codes[name] = self.processes[name].wait(40)
        return codes

    def kill(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def services(compose: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    running = Services(compose, tmp_path_factory.mktemp("compose"))
    try:
        for name in ("redis", "workers"):
            running.start(name)
            wait_until(lambda: running.is_ready(name), 20, name)  # noqa: B023  (asked before the next turn)
        for name in ("scheduler", "api", "dashboard"):
            running.start(name)
        yield running
    finally:
        running.kill()


def test_d02_the_services_become_healthy_and_the_seeds_call_works(services: Services) -> None:
    """The call of the seeds, with the token that any bind beyond loopback needs."""
    token = {"Authorization": f"Bearer {USERS['LTMC_TOKEN']}", "Content-Type": "application/json"}
    wait_until(lambda: services.ask("/health", token).get("status") == "healthy", 40, "healthy")
    call = (
        b'{"jsonrpc":"2.0","method":"tools/call","params":{"name":"store_memory",'
        b'"arguments":{"content":"Test with orchestration","file_name":"test.md"}},"id":1}'
    )
    assert services.ask("/jsonrpc", token, call)["result"]["file_name"] == "test.md"
    assert services.ask("/jsonrpc", {"Content-Type": "application/json"}, call) == {}


def test_d04_the_workers_are_registered(services: Services) -> None:
    token = {"Authorization": f"Bearer {USERS['LTMC_TOKEN']}"}
    found = wait_until(lambda: services.ask("/health", token).get("workers"), 20)
    assert (found["critical"] > 0, found["default"]) == (True, 2)


def test_no_command_line_shows_the_password(services: Services) -> None:
    """V09: every user of the host can read those; and the server wants it."""
    shown = psutil.Process(services.processes["redis"].pid).cmdline()
    assert "valkey" in shown[0] + shown[1]
    assert not [word for word in shown if USERS["REDIS_PASSWORD"] in word]
    with pytest.raises(redis.AuthenticationError), redis.Redis(port=services.redis) as stranger:
        stranger.ping()


def test_each_service_ends_when_it_is_told_to(services: Services) -> None:
    assert [name for name, process in services.processes.items() if process.poll() is not None] == []
    codes = services.stop()
    assert {name: code for name, code in codes.items() if code not in (0, -15)} == {}, codes
    assert (codes["workers"], codes["redis"]) == (0, 0)
