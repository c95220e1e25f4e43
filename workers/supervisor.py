"""Starts the whole platform, keeps it running, and stops what it started, and only that."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import IO

import click
import psutil

from ltmc_jobs.errors import LtmcError, Misconfigured
from ltmc_jobs.private_files import make_private, own
from ltmc_jobs.queues.envelope import Keyring
from ltmc_jobs.queues.fitness import require_fit
from ltmc_jobs.settings import Settings
from workers import health, own_tools, ports, processes
from workers.child import Child, launch, rotate
from workers.guard import Guard
from workers.processes import STOP_SECONDS, describe
from workers.record import Process, Record
from workers.server import EmbeddedServer, ping
from workers.signals import Signals

HEALTHY_SECONDS = 60.0
DEGRADED_SECONDS = 15.0  # a graph that is away must not keep the rest from starting
ROTATE_SECONDS = 60.0
SERVER = "redis"
EXAMPLE = {
    "jsonrpc": "2.0",
    "method": "tools/call",
    "params": {
        "name": "store_memory",
        "arguments": {"content": "Test with orchestration", "file_name": "test.md"},
    },
    "id": 1,
}


class Interrupted(Exception):
    """Asked to stop while starting."""


class Supervisor:
    """One per LTMC_HOME; `run()` returns when the platform has been stopped again."""

    def __init__(self, settings: Settings, say: Callable[[str], None] = click.echo) -> None:
        self.settings = settings
        self.say = say
        self.children: dict[str, Child] = {}
        self._server: EmbeddedServer | None = None
        self._lock: IO[str] | None = None
        self._rotated = 0.0

    def run(self) -> None:
        """Start, say where everything is, watch until a signal, stop."""
        for directory in (self.settings.home, self.settings.run_directory, self.settings.home / "logs"):
            make_private(directory)
        self._lock = own(self.settings.run_directory / "platform.lock")
        clear_leftovers(self.settings, self.say)
        self._signals = Signals()
        self._guard = Guard()
        self.record = Record(Process.of(os.getpid()), self.settings.http_url, "")
        try:
            self._start()
            self._watch()
        except Interrupted:
            self.say("stopped before everything was up")
        finally:
            self._stop()
            self._guard.close()
            self._signals.close()
            self._lock.close()

    def _start(self) -> None:
        ports.require_free(self.settings.http_host, self.settings.http_port, "HTTP_PORT")
        own_tools.announce(self.settings, self.say)
        self._start_redis()
        self.record.redis = self.settings.redis_shown() if self.settings.redis_enabled else "off (REDIS_ENABLED=false)"
        for name, arguments in commands(self.settings).items():
            self._add(name, arguments)
        self._save()
        self.say(f"waiting for {self.settings.http_url}/health …")
        self._wait_until_healthy(time.monotonic())
        self.say(f"\n{table(self.settings, self.record)}")
        self.say(advice(self.settings, self.record))
        self.record.ready = True  # last: whoever waits for it has then seen every line
        self._save()

    def _start_redis(self) -> None:
        if not self.settings.redis_enabled:
            return
        Keyring.make(self.settings)  # before the children, which only read it
        if not self.settings.redis_is_embedded:
            from ltmc_jobs.shared import checked_address  # loads more than a supervisor of its own server needs

            checked_address(self.settings)
            ping(self.settings)
            require_fit(self.settings, self.say)
            return
        self._server = EmbeddedServer(self.settings, self._guard)
        self._server.start()
        child = Child(SERVER, self._server.spawn, self._server.log)
        if self._server.process is not None:
            child.watch(self._server.process)
        self.children[SERVER] = child
        self._save()

    def _add(self, name: str, arguments: list[str]) -> None:
        log = self.settings.home / "logs" / f"{name}.log"
        command = [sys.executable, "-m", *arguments]
        child = Child(name, lambda: launch(command, log, self._guard.group), log)
        self.children[name] = child
        child.start()

    def _wait_until_healthy(self, began: float) -> None:
        while not self._signals.stops:
            self._require_alive()
            said = health.ask(self.settings)
            waited = time.monotonic() - began
            if health.is_healthy(said):
                self.say(f"healthy after {waited:.1f} s")
                return
            if said.get("status") == "degraded" and waited > DEGRADED_SECONDS:
                self.say(f"degraded, still after {waited:.0f} s: some calls will fail; `ltmc doctor` says why")
                return
            if waited > HEALTHY_SECONDS:
                raise Misconfigured(f"not healthy within {waited:.0f} s; /health says {said or 'nothing'}")
            self._signals.wait(0.05)
        raise Interrupted

    def _require_alive(self) -> None:
        for child in self.children.values():
            code = child.ended()
            if code is not None:
                raise Misconfigured(f"{child.name} did not start ({describe(code)}):\n{child.last_words()}")

    def _watch(self) -> None:
        while not self._signals.stops:
            waits = [child.seconds_until_due for child in self.children.values()]
            self._signals.wait(min((seconds for seconds in waits if seconds is not None), default=ROTATE_SECONDS))
            if not self._signals.stops:
                self._revive()
                self._rotate(time.monotonic())

    def _rotate(self, now: float) -> None:
        if now < self._rotated + ROTATE_SECONDS:
            return
        self._rotated = now
        for log in (self.settings.home / "logs").glob("*.log"):
            with suppress(OSError):  # a full disk is no reason to stop
                rotate(log)

    def _revive(self) -> None:
        changed = False
        for child in self.children.values():
            code = child.ended()
            if code is not None:
                self.say(f"{child.name} ended ({describe(code)}); starting it again")
            if child.seconds_until_due == 0:
                child.start()
                changed = True
        if changed:
            self._save()

    def _stop(self) -> None:
        """The doors first, then the workers, who end the job they are at, and Redis last."""
        if self.children:
            self.say("stopping …")
        deadline = time.monotonic() + STOP_SECONDS + 5
        doors = [child for name, child in self.children.items() if name not in (SERVER, "workers")]
        workers = [child for name, child in self.children.items() if name == "workers"]
        # A call that waits for its job keeps its door open; the workers are still there to end it.
        for children, seconds in ((doors, 5.0), (workers, STOP_SECONDS + 5)):
            for child in children:
                child.terminate()
            self._wait_ended(children, min(time.monotonic() + seconds, deadline))
        for child in doors + workers:
            child.kill()
        if self._server is not None:
            self._server.stop()
        own_tools.forget(self.settings)
        if self.children:
            self.say("stopped")

    def _wait_ended(self, children: list[Child], deadline: float) -> None:
        asked = self._signals.stops
        while any(child.running() for child in children):
            if time.monotonic() > deadline:
                return
            if self._signals.stops > asked:
                for child in children:
                    child.terminate()  # a second one means: now
                asked = self._signals.stops
            self._signals.wait(0.1)

    def _save(self) -> None:
        self.record.children = {
            name: Process.of(child.process.pid) for name, child in self.children.items() if child.process
        }
        self.record.save(self.settings)


def commands(settings: Settings) -> dict[str, list[str]]:
    """The modules that run beside Redis, with their arguments."""
    wanted = {"api": ["api"]}
    if settings.redis_enabled:
        wanted["workers"] = ["workers", "workers", "--stores", "--scheduler"]
        if settings.dashboard:
            wanted["dashboard"] = ["api.dashboard"]
    return wanted


def clear_leftovers(settings: Settings, say: Callable[[str], None]) -> None:
    """End what a killed supervisor left, if its guard has not done so yet; our lock proves that it is dead."""
    record = Record.load(settings)
    found = {name: child.find() for name, child in record.children.items()} if record else {}
    for name, process in found.items():
        if process is not None and name != SERVER:  # the server clears its own
            say(f"an earlier start was killed; ending what it left of {name} (pid {process.pid})")
            processes.end(process, STOP_SECONDS)


def stop(settings: Settings, say: Callable[[str], None]) -> bool:
    """Stop the platform of this home; False when none runs."""
    record = Record.load(settings)
    supervisor = record.supervisor.find() if record else None
    if supervisor is None:
        return False
    say(f"stopping pid {supervisor.pid}; running jobs are finished first …")
    supervisor.send_signal(signal.SIGTERM)
    if not processes.wait_gone(supervisor, STOP_SECONDS + 30):
        raise LtmcError(f"pid {supervisor.pid} does not end; `kill -9 {supervisor.pid}` leaves nothing behind")
    return True


def running(settings: Settings) -> Record | None:
    """The record of a platform whose supervisor lives."""
    record = Record.load(settings)
    return record if record and record.supervisor.find() else None


def table(settings: Settings, record: Record) -> str:
    """What runs where."""
    pids = ", ".join(f"{name} {child.pid}" for name, child in record.children.items() if child.find())
    rows = {
        "API": f"{record.url}  (all routes: {record.url}/docs)",
        "listens": listens(record),
        "Redis": record.redis,
        "data": str(settings.home),
        "logs": str(settings.home / "logs"),
        "pids": f"supervisor {record.supervisor.pid}, {pids}",
    }
    return "\n".join(f"  {name:<10} {value}" for name, value in rows.items())


def listens(record: Record) -> str:
    """The addresses of the API, as the system knows them."""
    with suppress(psutil.Error, KeyError, AttributeError):
        found = record.children["api"].find().net_connections("tcp")  # type: ignore[union-attr]
        places = sorted({f"{c.laddr.ip} port {c.laddr.port}" for c in found if c.status == psutil.CONN_LISTEN})
        return ", ".join(places) or "nowhere yet"
    return "unknown"


def advice(settings: Settings, record: Record) -> str:
    """What to try next; the token by where it stands, never itself."""
    file = shlex.quote(str(settings.home / "token"))
    token = "$LTMC_TOKEN" if settings.token else f"$(cat {file})"
    header = f'    -H "Authorization: Bearer {token}" \\\n' if settings.needs_token else ""
    needed = " (every caller needs the token)" if settings.needs_token else ""
    body = json.dumps(EXAMPLE, separators=(",", ":"))
    dashboard = f"  dashboard  {dashboard_link(record.url)}\n" if "dashboard" in record.children else ""
    return f"""{dashboard}
Try, from another terminal{needed}:
  curl -X POST {record.url}/jsonrpc -H "Content-Type: application/json" \\
{header}    -d '{body}'
  .venv/bin/ltmc retrieve-memory --query orchestration
  .venv/bin/ltmc demo
  ./start_workers.sh status    (and: stop, --help)"""


def dashboard_link(url: str) -> str:
    """A link that opens the dashboard once; the front end makes it, in a process of its own."""
    command = [sys.executable, "-m", "api.cli", "dashboard"]
    made = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    return made.stdout.strip() if made.returncode == 0 and made.stdout.strip() else f"{url}/rq"
