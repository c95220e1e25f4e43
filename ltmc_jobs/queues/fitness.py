"""Whether a Redis server is fit for a job queue: what is wrong with it, why that matters, and the cure.

The embedded server is set up so that nothing is found; one of the user's own is looked at, and never changed.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ltmc_jobs.errors import Misconfigured
from ltmc_jobs.settings import Settings

if TYPE_CHECKING:  # a supervisor of its own server wants the names below, and not the 20 MB of the client
    from redis import Redis

OLDEST = (6, 2)  # LMOVE, and LPOP of several
CLOCK_SECONDS = 5.0
FULL = 0.9
# Measured with a hash of 14 fields and 600 bytes of data, and its one result: 6.2 kB a finished job by the server's
# own defaults, 1.9 kB with these. Nodes of 512 bytes cost a quarter of a kilobyte more, smaller than 256 save nothing.
# The old names of the hash's limits, because a server of 6.2 knows no others and each later one knows these too.
COMPACT = {"stream-node-max-bytes": 256, "hash-max-ziplist-value": 2048, "hash-max-ziplist-entries": 128}
LARGEST_NODE_BYTES = 512
OPTIONS = ("appendfsync", "save", "stream-node-max-bytes", "hash-max-*")

Severity = Literal["refuse", "warn", "note"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as a queue wants it; `refuse`: do not start, `warn`: say it loudly, `note`: mention it."""

    severity: Severity
    name: str
    what: str
    why: str
    cure: str

    def __str__(self) -> str:
        return f"{self.what}: {self.why} (cure: {self.cure})"


def require_fit(settings: Settings, say: Callable[[str], None]) -> None:
    """Look at the server that the settings name, and say each warning.

    Misconfigured, a line for each reason, where it cannot hold a queue; QueueUnavailable when it does not answer.
    """
    import redis

    from ltmc_jobs.queues.reach import reaching

    with reaching(), redis.Redis.from_url(settings.redis_address(), socket_timeout=5.0) as connection:
        found = findings(connection, allow_eviction=settings.allow_eviction)
    refused = [str(finding) for finding in found if finding.severity == "refuse"]
    if refused:
        raise Misconfigured("\n".join(f"Redis at {settings.redis_shown()}: {line}" for line in refused))
    for finding in found:
        say(f"{'WARNING' if finding.severity == 'warn' else 'note'}: {finding}")


def findings(
    connection: Redis, *, allow_eviction: bool = False, clock: Callable[[], float] = time.time
) -> list[Finding]:
    """Everything about the server that a queue should not have, the worst first; empty for a sound one.

    Three round trips. `clock` is this host's, in seconds since 1970. A server that forbids INFO or CONFIG, as managed
    ones do, gets a note that says so; redis.RedisError where it does not answer.
    """
    info = _asked(lambda: connection.info())
    options = _options(connection)
    offset, doubt = clock_offset_seconds(connection, clock)
    return judge(info, options, offset, doubt, allow_eviction=allow_eviction)


def judge(
    info: Mapping[str, Any],
    options: Mapping[str, str],
    offset: float = 0.0,
    doubt: float = 0.0,
    *,
    allow_eviction: bool,
) -> list[Finding]:
    """As `findings`, of answers to INFO and CONFIG GET (empty: forbidden) and a clock's offset and doubt in seconds."""
    found = [
        *_unchecked(info, options),
        *_of_server(info),
        *_of_eviction(info, allowed=allow_eviction),
        *_of_persistence(info, options),
        *_of_memory(info),
        *_of_clock(offset, doubt),
        *_of_sizes(options),
    ]
    order: tuple[Severity, ...] = ("refuse", "warn", "note")
    return sorted(found, key=lambda finding: order.index(finding.severity))


def clock_offset_seconds(connection: Redis, clock: Callable[[], float] = time.time) -> tuple[float, float]:
    """How far the server's clock is ahead of this host's, and half the round trip: by so much it may be less."""
    before = clock()
    answer: Any = connection.time()
    after = clock()
    return answer[0] + answer[1] / 1e6 - (before + after) / 2, (after - before) / 2


def _asked(ask: Callable[[], Any]) -> Any:
    """The answer; empty where the server forbids the question."""
    import redis

    try:
        return ask()
    except redis.ConnectionError:  # a wrong password is one, too
        raise
    except redis.ResponseError:
        return {}


def _options(connection: Redis) -> dict[str, str]:
    # By name, not `*`: that would bring the server's passwords here too.
    with connection.pipeline(transaction=False) as pipeline:
        for pattern in OPTIONS:
            pipeline.config_get(pattern)
        answers = pipeline.execute(raise_on_error=False)
    return {name: value for answer in answers if isinstance(answer, dict) for name, value in answer.items()}


def _unchecked(info: Mapping[str, Any], options: Mapping[str, str]) -> Iterator[Finding]:
    forbidden = [name for name, answer in (("INFO", info), ("CONFIG GET", options)) if not answer]
    if forbidden:
        yield Finding(
            "note",
            "unchecked",
            f"Redis does not answer {' and '.join(forbidden)}, so its settings could not be checked",
            "it may evict jobs, or lose them when it restarts" if not info else "it may use more memory than it must",
            "see to it where the server is managed: maxmemory-policy noeviction, an append-only file, "
            + ", ".join(f"{name} {value}" for name, value in COMPACT.items()),
        )


def _of_server(info: Mapping[str, Any]) -> Iterator[Finding]:
    version = str(info.get("redis_version", "")) or None
    if version and _numbers(version) < OLDEST:
        why = "it lacks commands that the queue is made of"
        yield Finding("refuse", "version", f"Redis {version} is too old", why, "use Redis 6.2 or later, or Valkey")
    if info.get("cluster_enabled") or info.get("redis_mode") == "cluster":
        why = "a job's keys lie on several nodes there, and no step over them is atomic"
        cure = "give the platform a single server (with a replica, or Sentinel), cluster-enabled no"
        yield Finding("refuse", "cluster", "Redis runs in Cluster mode", why, cure)
    if info.get("role") == "slave":
        primary = f"{info.get('master_host', 'its primary')}:{info.get('master_port', '')}".rstrip(":")
        why = "it takes no jobs, and loses what it is given"
        yield Finding("refuse", "replica", "Redis is a replica", why, f"set REDIS_URL to its primary, {primary}")


def _of_eviction(info: Mapping[str, Any], *, allowed: bool) -> Iterator[Finding]:
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        yield Finding(
            "warn" if allowed else "refuse",
            "eviction",
            f"Redis evicts keys (maxmemory-policy {policy})",
            "when its memory is short it drops queued jobs and results, and nobody is told",
            "CONFIG SET maxmemory-policy noeviction, and in its configuration"
            + ("" if allowed else "; LTMC_ALLOW_EVICTION=1 starts nevertheless"),
        )


def _of_persistence(info: Mapping[str, Any], options: Mapping[str, str]) -> Iterator[Finding]:
    if "aof_enabled" not in info:
        return
    if not info["aof_enabled"]:
        if not options:
            lost = "all jobs since its last snapshot, if it makes any"
        else:
            lost = "all jobs since its last snapshot" if options.get("save") else "every job, for it makes no snapshots"
        yield Finding(
            "warn",
            "persistence",
            "Redis keeps no append-only file",
            f"when it ends or its host does, it loses {lost}",
            "CONFIG SET appendonly yes, and in its configuration",
        )
    elif options.get("appendfsync") == "no":
        yield Finding(
            "warn",
            "fsync",
            "Redis leaves it to the system when its append-only file reaches the disk (appendfsync no)",
            "when its host fails, jobs of up to half a minute are lost",
            "CONFIG SET appendfsync everysec, and in its configuration",
        )


def _of_memory(info: Mapping[str, Any]) -> Iterator[Finding]:
    most, used = info.get("maxmemory") or 0, info.get("used_memory") or 0
    if most and used > FULL * most:
        yield Finding(
            "warn",
            "memory",
            f"Redis has used more than {FULL:.0%} of its memory ({_shown(used)} of {_shown(most)})".replace("%", " %"),
            "when it is full it refuses new jobs, and results wait",
            f"CONFIG SET maxmemory {2 * most}, and in its configuration; or wait for empty queues",
        )


def _of_clock(offset: float, doubt: float) -> Iterator[Finding]:
    if abs(offset) - doubt > CLOCK_SECONDS:
        yield Finding(
            "warn",
            "clock",
            f"this host's clock is {abs(offset):.1f} s {'behind' if offset > 0 else 'ahead of'} the server's",
            "scheduled jobs, deadlines and log lines are off by as much",
            "switch time synchronisation (NTP) on, on both",
        )


def _of_sizes(options: Mapping[str, str]) -> Iterator[Finding]:
    node = options.get("stream-node-max-bytes")
    too_large = node is not None and not 0 < int(node) <= LARGEST_NODE_BYTES
    wrong = {"stream-node-max-bytes": COMPACT["stream-node-max-bytes"]} if too_large else {}
    for name in ("hash-max-ziplist-value", "hash-max-ziplist-entries"):
        shown = name.replace("ziplist", "listpack")
        shown = shown if shown in options else name
        if int(options.get(shown, COMPACT[name])) < COMPACT[name]:
            wrong[shown] = COMPACT[name]
    if wrong:
        yield Finding(
            "warn",
            "sizes",
            "Redis stores small jobs and results wastefully ("
            + ", ".join(f"{name} {options[name]}" for name in wrong)
            + ")",
            "a finished job takes up to three times the memory",
            "".join(f"CONFIG SET {name} {value}, " for name, value in wrong.items()) + "and in its configuration",
        )


def _numbers(version: str) -> tuple[int, ...]:
    found = re.match(r"(\d+)\.(\d+)", version)
    return (int(found[1]), int(found[2])) if found else OLDEST


def _shown(size: float) -> str:
    return f"{size / (1 << 20):.1f} MB"
