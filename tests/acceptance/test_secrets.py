"""Redis as it is named and no other, without a word of its password; files for their owner alone; no secret in here."""

from __future__ import annotations

import re
import select
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from ltmc_jobs.errors import Disabled, Misconfigured
from ltmc_jobs.shared import Shared, checked_address
from tests.acceptance.conftest import ROOT, Platform
from tests.acceptance.front import Front, web_of
from tests.conftest import MakeSettings, build_settings, free_port
from tests.fleet import open_installation
from workers.server import EmbeddedServer

SECRETS = {
    "private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "provider's token": r"\b(AKIA[0-9A-Z]{16}|gh[pousr]_\w{30,}|xox[abp]-[\w-]{10,}|sk-[A-Za-z0-9_-]{20,}|hf_\w{30,})",
    # … but for the words that everybody writes where a password belongs
    "password in an address": r"[a-z]+://[^\s:/@{$\"'<*]*:(?!\*\*\*|(?:password|PASSWORD|secret|hunter2|sesame|p%40ss|s3cr3t-words)@)[^\s@{$\"'<>*/:]{6,}@",
    "assigned secret": r"(?i)\b\w*(password|secret|api_?key)\b\"?\s*[:=]\s*[\"'][A-Za-z0-9+/_=-]{20,}[\"']",
}


@pytest.fixture(scope="module")
def second_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    settings = build_settings(tmp_path_factory.mktemp("second"), REDIS_PORT=free_port())
    with EmbeddedServer(settings) as server:
        yield server


def password_of(server: EmbeddedServer) -> str:
    return (server.settings.redis_directory / "password").read_text().strip()


@pytest.mark.parametrize("named", ["url", "parts", "both", "letta"])
def test_v09_calls_go_to_the_server_that_is_named(
    named: str, redis_server: EmbeddedServer, second_server: EmbeddedServer, make_settings: MakeSettings
) -> None:
    """V09: host, port, password and database lead there; a URL goes before all of them; nothing reaches another."""
    parts = {
        "REDIS_HOST": "127.0.0.1",
        "REDIS_PORT": second_server.settings.redis_port,
        "REDIS_PASSWORD": password_of(second_server),
        "REDIS_DB": 3,
    }
    url = f"{redis_server.settings.redis_address()[:-1]}5"
    ways: dict[str, dict[str, Any]] = {
        "url": {"REDIS_URL": url},
        "parts": parts,
        "both": {"REDIS_URL": url, **parts},
        "letta": {"LETTA_REDIS_URL": url},
    }
    variables = ways[named]
    places = {
        (server, base): f"{server.settings.redis_address()[:-1]}{base}"
        for server in (redis_server, second_server)
        for base in (0, 3, 5)
    }
    for address in places.values():
        with redis.Redis.from_url(address) as connection:
            connection.flushdb()
    shared = open_installation(make_settings(**variables))
    shared.close()
    meant = (second_server, 3) if named == "parts" else (redis_server, 5)
    for place, address in places.items():
        with redis.Redis.from_url(address) as connection:
            assert bool(connection.dbsize()) is (place == meant), place


def test_v09_x13_the_password_is_never_told(platform: Platform) -> None:
    """V09, X13: not by a route, a command or a log of a platform in use; neither the token nor the key that signs."""
    files = {"token": platform.home / "token", "key": platform.home / "signing.key"}
    secrets = {name: file.read_text().strip() for name, file in files.items()}
    secrets["password"] = (platform.home / "redis" / "password").read_text().strip()
    with web_of(platform.url) as web:
        said = {path: web.get(path).text for path in ("/", "/health", "/metrics", "/queues", "/jobs", "/openapi.json")}
    said["status"] = "".join(platform.workers("status", check=False).stdout)
    said["doctor"] = platform.ltmc("doctor").stdout
    said |= {str(log): log.read_text(errors="replace") for log in (platform.home / "logs").iterdir()}
    settings = build_settings(platform.home, REDIS_PASSWORD=secrets["password"], LTMC_TOKEN=secrets["token"])
    said |= {"repr": repr(settings), "json": settings.model_dump_json(), "shown": settings.redis_shown()}
    for place, text in said.items():
        assert not [name for name, secret in secrets.items() if secret in text], place
    process_list = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert not [name for name, secret in secrets.items() if secret in process_list]


def test_v09_a_wrong_password_is_not_repeated(
    make_settings: MakeSettings, redis_server: EmbeddedServer, tmp_path: Path
) -> None:
    """V09: a server that refuses the password: unhealthy, and what was tried stands nowhere."""
    port = redis_server.settings.redis_port
    front = Front(tmp_path / "home", REDIS_HOST="127.0.0.1", REDIS_PORT=port, REDIS_PASSWORD="wr0ng")
    front.start().wait()
    try:
        with web_of(front.url) as web:
            answers = [web.get("/health"), web.get("/metrics"), web.get("/jobs")]
            assert [answer.status_code for answer in answers] == [503, 503, 503]
    finally:
        front.stop()
    assert "wr0ng" not in "".join(answer.text for answer in answers) + front.log.read_text()


def test_v08_without_redis_nothing_is_connected(tmp_path: Path) -> None:
    """V08: no connection attempt; what needs it answers a typed `disabled`; the rest, and /health, answer."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        front = Front(tmp_path / "home", REDIS_ENABLED="false", REDIS_URL=f"redis://:x@127.0.0.1:{port}/0")
        front.start(make_key=False).wait()
        try:
            with web_of(front.url) as web:
                check_disabled(web)
        finally:
            front.stop()
        assert select.select([listening], [], [], 0)[0] == [], "somebody knocked"
    assert "Traceback" not in front.log.read_text()


def check_disabled(web: httpx.Client) -> None:
    health = web.get("/health")
    assert (health.status_code, health.json()["status"]) == (200, "degraded")
    assert health.json()["components"]["redis"]["status"] == "disabled"
    assert web.get("/tools").json()["count"] > 0
    assert web.get("/").status_code == 200
    note = {"file_name": "x", "content": "x"}
    stored = web.post("/tools/store_memory", json=note).json()
    assert (stored["served"], "REDIS_ENABLED=false" in stored["reason"]) == ("locally", True)
    for answer in (
        web.get("/queues"),
        web.get("/metrics"),
    ):
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "disabled")
    call = {"jsonrpc": "2.0", "id": 7, "method": "store_memory", "params": note}
    assert web.post("/jsonrpc", json=call).json()["result"]["served"] == "locally"
    assert web.post("/jsonrpc", json=call | {"method": "tools/list", "params": {}}).json()["result"]["tools"]
    assert web.post("/jsonrpc", json=call | {"params": {}}).json()["error"]["data"]["code"] in (
        "disabled",
        "invalid_arguments",
    )


def test_v08_commands_say_so_at_once(make_settings: MakeSettings, tmp_path: Path) -> None:
    """V08: the library and the command line, in one line and without a start that could not serve."""
    with pytest.raises(Disabled):
        Shared.open(make_settings(REDIS_ENABLED="false"))
    off = Platform.at(tmp_path / "home", REDIS_ENABLED="false")
    for command in (["mcp"], ["job-list"]):
        done = off.ltmc(*command, seconds=20)
        assert done.returncode != 0
        assert "REDIS_ENABLED=false" in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "variables",
    [
        {"REDIS_HOST": "192.0.2.1"},
        {"REDIS_URL": "redis://192.0.2.1:6379/0"},
        {"REDIS_URL": "redis://user@192.0.2.1:6379/0"},
        {"REDIS_URL": "rediss://:@192.0.2.1/0"},
        {"REDIS_HOST": "redis.example"},
        {"REDIS_HOST": "0.0.0.0"},
    ],
    ids=str,
)
def test_x01_an_open_redis_elsewhere_is_refused(variables: dict[str, str], make_settings: MakeSettings) -> None:
    """X01: beyond loopback without a password: refused before anything is connected, unless told explicitly."""
    with pytest.raises(Misconfigured, match="no password is given"):
        checked_address(make_settings(**variables))
    assert checked_address(make_settings(**variables, LTMC_REDIS_INSECURE="1"))


def test_x01_the_processes_refuse_to_start(tmp_path: Path) -> None:
    """X01: the platform, the API alone and workers alone, each with exit code 2 and a line that says what to do."""
    home = Platform.at(tmp_path / "home", REDIS_HOST="192.0.2.1")
    front = Front(tmp_path / "front", REDIS_HOST="192.0.2.1").start()
    for arguments in (["start"], ["workers"], ["scheduler"]):
        done = home.workers(*arguments, check=False)
        assert done.returncode == 2, done.stderr
        assert "REDIS_PASSWORD" in done.stderr
    assert front.process is not None
    assert front.process.wait(20) == 2
    assert "REDIS_PASSWORD" in front.log.read_text()


def test_x09_files_are_their_owners_alone(platform: Platform) -> None:
    """X09: 0600 for each file and socket of a home in use, 0700 for each directory."""
    with web_of(platform.url) as web:
        note = {"file_name": "x09.md", "content": "x", "wait_for": "linked"}
        assert web.post("/tools/store_memory?wait=45", json=note).status_code == 200
    found = {path: stat.S_IMODE(path.lstat().st_mode) for path in [platform.home, *platform.home.rglob("*")]}
    assert {path.name for path in found} >= {"ltmc.db", "token", "signing.key", "password", "dashboard.sock", "logs"}
    open_to_others = {str(path): oct(mode) for path, mode in found.items() if mode & 0o077}
    assert open_to_others == {}


def test_x13_the_repository_holds_no_credential() -> None:
    """X13: no tracked file has what looks like one that works."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    files = [ROOT / name for name in listed.split("\0") if name and not name.endswith(".lock")]
    assert len(files) > 100 or pytest.skip("not a checkout: git lists no files")
    found = []
    for file in files:
        text = file.read_text(errors="ignore") if file.is_file() else ""
        for kind, pattern in SECRETS.items():
            found += [f"{file.relative_to(ROOT)}: {kind}: {hit.group()[:40]}" for hit in re.finditer(pattern, text)]
    assert found == []


def test_x13_the_scan_finds_what_it_is_for() -> None:
    """X13: else the test above proves nothing."""
    samples = [
        "-----BEGIN RSA " + "PRIVATE KEY-----",
        "gh" + "p_" + "a" * 36,
        "redis://:" + "hunter2hunter" + "@db.example:6379",
        'api_key = "' + "a1b2" * 8 + '"',
    ]
    for sample, pattern in zip(samples, [*list(SECRETS.values())], strict=True):
        assert re.search(pattern, sample), sample
