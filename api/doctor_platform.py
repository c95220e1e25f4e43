"""What the doctor looks at of the platform: Redis, API, workers, dashboard."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import psutil
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from api import terminal
from api.finding import START, Finding, Patient, fine, note, problem
from ltmc_jobs import keys
from ltmc_jobs.errors import LtmcError
from ltmc_jobs.orchestration.heartbeats import Heartbeats
from ltmc_jobs.orchestration.installation import Installation
from ltmc_jobs.queues import fitness
from ltmc_jobs.queues.envelope import KEY_FILE
from ltmc_jobs.registry import Queue
from ltmc_jobs.settings import Settings
from ltmc_jobs.shared import checked_address

CURES = {
    "database": "check the disk and the rights of DB_PATH; the workers' log says more",
    "vector_store": "restart the workers: the index is made anew from the records; the workers' log says more",
    "neo4j": "start Neo4j and check NEO4J_URI/NEO4J_PASSWORD, or unset NEO4J_URI: the graph then lives in SQLite",
}
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # the API is here, not behind a proxy


def look_at_redis(patient: Patient) -> Iterator[Finding]:
    """Whether Redis answers."""
    settings = patient.settings
    try:
        address = checked_address(settings)
        patient.redis = redis.Redis.from_url(
            address, socket_connect_timeout=2.0, socket_timeout=2.0, retry=Retry(NoBackoff(), 0)
        )
        patient.redis.ping()
    except (LtmcError, ValueError) as error:
        patient.redis = None
        yield problem(f"Redis: {error}", "set REDIS_URL, or unset all REDIS_ variables to use the embedded server")
    except (redis.RedisError, OSError) as error:
        patient.redis = None
        yield problem(
            f"Redis at {settings.redis_shown()} does not answer: {error}",
            "start it, and check REDIS_URL/REDIS_PASSWORD" if patient.is_remote else START,
        )
    else:
        yield fine(f"Redis: {settings.redis_shown()} answers")


def look_at_fitness(patient: Patient) -> Iterator[Finding]:
    """Whether Redis is set up as a queue needs it."""
    if patient.redis is None:
        return
    found = fitness.findings(patient.redis)
    for fault in found:
        # Here even an eviction that the user allows is a problem. What only costs memory makes nothing suffer.
        serious = fault.severity != "note" and fault.name != "sizes"
        yield (problem if serious else note)(f"{fault.what}: {fault.why}", fault.cure)
    if not any(fault.name == "clock" for fault in found):
        offset, _ = fitness.clock_offset_seconds(patient.redis)
        yield fine(f"clock: {abs(offset):.1f} s from the server's")


def look_at_installation(patient: Patient) -> Iterator[Finding]:
    """Whose memory this Redis works for."""
    if patient.redis is None:
        return
    installation = Installation(patient.redis, patient.settings.home)
    if installation.registered_id is None:
        yield note("no platform has been started with this Redis yet", START)
    elif installation.local_id not in (None, installation.registered_id):
        yield problem(
            "this Redis works for the memory of another LTMC_HOME",
            "set LTMC_HOME to that one, or REDIS_DB/REDIS_URL to a Redis of this one's own",
        )


def look_at_api(patient: Patient) -> Iterator[Finding]:
    """What the API says of itself."""
    settings = patient.settings
    patient.health = _ask(f"{settings.http_url}/health", _known_token(settings))
    if patient.health is None:
        owner = _listener(settings.http_port)
        if owner is None:
            yield problem(f"the API does not run at {settings.http_url}", START)
        else:
            yield problem(
                f"port {settings.http_port} is held by {owner}, which is not the API of this installation",
                "stop that, or set HTTP_PORT to a free port and run ./start_workers.sh again",
            )
        return
    status = patient.health.get("status")
    if patient.health.get("queues_without_worker") and status != "healthy" and patient.redis is not None:
        yield note(f"API: {settings.http_url} answers, and says {status} for want of workers")
        return  # nobody looks at the stores now, so nothing is known of them
    yield (
        fine(f"API: {settings.http_url} is healthy")
        if status == "healthy"
        else problem(
            f"API: {settings.http_url}/health says {status}", "see the parts below; logs are in LTMC_HOME/logs"
        )
    )
    for name, part in patient.health.get("components", {}).items():
        # A degraded Redis is unfit for a queue: that was told, as was what is wrong with the user's own tools.
        told_at_length = (name, part.get("status")) == ("redis", "degraded") or name == "tools"
        if part.get("status") not in ("healthy", "disabled") and not told_at_length:
            yield problem(f"{name}: {part.get('status')}: {part.get('error', '')}", CURES.get(name, START))


def look_at_workers(patient: Patient) -> Iterator[Finding]:
    """Whether each queue has a worker."""
    if patient.redis is None:
        return
    live = Heartbeats(patient.redis).live([queue.value for queue in Queue])
    silent = [queue for queue, count in live.items() if not count]
    if not silent:
        yield fine("workers: " + ", ".join(f"{queue} {count}" for queue, count in live.items()))
    else:
        yield problem(f"no worker for {', '.join(silent)}", f"{START}; if it runs, LTMC_HOME/logs/workers.log says why")


def look_at_refused_jobs(patient: Patient) -> Iterator[Finding]:
    """Whether workers refused jobs that this installation did not sign."""
    if patient.redis is None:
        return
    name = keys.key(keys.INSTALLATION, "refused")
    newest: Any = patient.redis.lindex(name, 0)
    if newest is not None:
        count: Any = patient.redis.llen(name)
        told = terminal.printable(newest.decode(errors="replace"))
        yield problem(
            f"jobs refused in the last 7 days: {count}, the newest {told}",
            f"copy {KEY_FILE} of the platform's first host to the host that sends them, or set LTMC_SIGNING_KEY "
            "there; `ltmc jobs refused` lists them",
        )


def look_at_dashboard(patient: Patient) -> Iterator[Finding]:
    """Whether the dashboard answers."""
    if not patient.settings.dashboard or patient.health is None:
        return
    code = _code(f"{patient.settings.http_url}/rq/")
    if code is None or code == 404 or code >= 500:
        yield problem(f"the dashboard does not answer (HTTP {code})", "LTMC_HOME/logs/dashboard.log says why")
    else:
        yield fine("dashboard: answers under /rq")


def look_at_ports(patient: Patient) -> Iterator[Finding]:
    """Who holds the ports that a start would need."""
    settings = patient.settings
    if patient.redis is None and settings.redis_is_embedded:
        owner = _listener(settings.redis_port)
        if owner is not None:
            yield problem(
                f"port {settings.redis_port} is held by {owner}",
                "stop that, or set REDIS_PORT to a free port and run ./start_workers.sh again",
            )


def _known_token(settings: Settings) -> str | None:
    if settings.token is not None:
        return settings.token.get_secret_value()
    with suppress(OSError):
        return (settings.home / "token").read_text().strip()
    return None


def _ask(url: str, token: str | None) -> dict[str, Any] | None:
    asked = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    try:
        with _OPENER.open(asked, timeout=5) as answer:
            body = answer.read()
    except urllib.error.HTTPError as error:
        body = error.read()
    except OSError:
        return None
    with suppress(ValueError):
        said = json.loads(body)
        return said if isinstance(said, dict) and "status" in said else None
    return None


def _code(url: str) -> int | None:
    try:
        with _OPENER.open(url, timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None


def _listener(port: int) -> str | None:
    """Who listens on a port of this machine; None when nobody does."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            listening = (c for c in process.net_connections("tcp") if c.status == psutil.CONN_LISTEN)
            if any(c.laddr.port == port for c in listening):
                return f"{process.name()} (pid {process.pid})"
    return None
