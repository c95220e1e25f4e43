"""What the tests of the front end share: the API alone as a process, the platform's Redis, its logs, raw sockets."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import redis
from prometheus_client.parser import text_string_to_metric_families

from ltmc_jobs.queues.envelope import Keyring
from ltmc_jobs.settings import Settings
from tests.acceptance.conftest import ROOT, Platform
from tests.conftest import build_settings, clean_environment, free_port, wait_until

# What no answer may hold: traces, paths, SQL, addresses, Redis' own words
LEAKS = re.compile(
    r"Traceback|File \"|line \d+, in |site-packages|\.py\b|/(work|home|root|tmp|usr|var|etc)/|redis://|rq:job|WRONGTYPE"
    r"|\b(SELECT|INSERT|UPDATE|DELETE) .*(FROM|INTO|SET)\b|sqlite|(127\.0\.0\.1|localhost):\d+|Error\(|0x[0-9a-f]{6,}",
    re.IGNORECASE,
)


def web_of(url: str, **options: Any) -> httpx.Client:
    """A client that asks no proxy and keeps no cookies it is not told to."""
    return httpx.Client(base_url=url, timeout=60, trust_env=False, **options)


def settings_of(platform: Platform) -> Settings:
    """The platform's own settings."""
    ours = {name: platform.env[name] for name in ("REDIS_PORT", "HTTP_PORT")}
    return build_settings(platform.home, **ours)


@contextmanager
def redis_of(platform: Platform) -> Iterator[redis.Redis]:
    """The platform's Redis, with its password."""
    with redis.Redis.from_url(settings_of(platform).redis_address()) as connection:
        yield connection


def logged(home: Path) -> list[dict[str, Any]]:
    """Every JSON line in the logs of a home."""
    lines: list[dict[str, Any]] = []
    for file in sorted((home / "logs").glob("*.log")):
        for line in file.read_text(errors="replace").splitlines():
            lines.extend(_objects(line))
    return lines


def _objects(line: str) -> Iterator[dict[str, Any]]:
    """Those on a line; two, when two processes wrote at the same moment."""
    while line.startswith("{"):
        found, end = json.JSONDecoder().raw_decode(line)
        yield found
        line = line[end:]


def store(web: httpx.Client, name: str, headers: dict[str, str] | None = None, **more: str) -> dict[str, Any]:
    note = {"file_name": name, "content": f"About {name}."} | more
    answer = web.post("/tools/store_memory?wait=45", json=note, headers=headers)
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


def samples(web: httpx.Client) -> dict[tuple[str, tuple[str, ...]], float]:
    """Every sample of /metrics, by its name and the values of its labels."""
    text = web.get("/metrics").text
    found = [one for family in text_string_to_metric_families(text) for one in family.samples]
    return {(one.name, tuple(value for _, value in sorted(one.labels.items()))): one.value for one in found}


class Front:
    """`python -m api` alone, without workers: where it is, what it wrote."""

    def __init__(self, home: Path, **variables: object) -> None:
        self.home = home
        self.log = home / "logs" / "api.log"
        self.port = int(str(variables.pop("HTTP_PORT", free_port())))
        self.url = f"http://localhost:{self.port}"
        self.variables: dict[str, object] = {"HTTP_PORT": self.port, **variables}
        self.env = clean_environment(home, PYTHONPATH=ROOT, **self.variables)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *, make_key: bool = True) -> Front:
        """Start it; it answers when `ready` is true."""
        self.log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if make_key:
            Keyring.make(build_settings(self.home, **self.variables))
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "api"], env=self.env, cwd=self.home.parent, stdout=output, stderr=output
            )
        return self

    def wait(self) -> Front:
        """Wait until it answers."""
        wait_until(self._answers, 30, "the API answers")
        return self

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()
        with web_of(self.url) as web:
            try:
                web.get("/health")
            except httpx.HTTPError:
                return False
        return True

    @property
    def token(self) -> str:
        return (self.home / "token").read_text().strip()

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(15)


def raw(port: int, data: bytes, seconds: float = 5.0) -> bytes:
    """What comes back for these bytes until the other side closes, or nothing more comes."""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
        connection.sendall(data)
        received = b""
        try:
            while part := connection.recv(65536):
                received += part
                if b"\r\n\r\n" in received and b"connection: close" not in data.lower():
                    break
        except TimeoutError:
            pass
        return received
