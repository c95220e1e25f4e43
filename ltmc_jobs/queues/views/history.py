"""What a job did so far: its attempts, each with its times, worker and error, from RQ's result stream."""

from __future__ import annotations

import base64
import zlib
from datetime import UTC, datetime
from typing import Any

from redis import Redis

from ltmc_jobs.queues.inspect import results_key

OUTCOMES = {b"1": "finished", b"2": "failed", b"3": "stopped", b"4": "retried", b"5": "failed"}  # RQ's types of results
TRACEBACK_BYTES = 1_000_000


def attempts(connection: Redis, job_id: str) -> list[dict[str, Any]]:
    """The ends of a job's runs, the last ten in order: `{outcome, worker, started_at, ended_at, seconds, error}`.

    A run that ended without a word, since its process died, is not among them.
    """
    entries: Any = connection.xrange(results_key(job_id))
    return [_attempt(entry_id.decode(), entry) for entry_id, entry in entries]


def _attempt(entry_id: str, entry: dict[bytes, bytes]) -> dict[str, Any]:
    started, ended = _number(entry.get(b"execution_started_at")), _number(entry.get(b"execution_ended_at"))
    if ended is None:
        ended = int(entry_id.partition("-")[0]) / 1000
    return {
        "outcome": OUTCOMES.get(entry.get(b"type", b""), "unknown"),
        "worker": entry.get(b"worker_name", b"").decode(errors="replace"),
        "started_at": _iso(started) if started is not None else None,
        "ended_at": _iso(ended),
        "seconds": round(ended - started, 3) if started is not None else None,
        "error": last_line(entry.get(b"exc_string")),
    }


def last_line(encoded: bytes | None) -> str | None:
    """What a traceback, as RQ's streams keep it, comes down to; None for none, or one that cannot be read."""
    try:
        text = (
            zlib.decompressobj().decompress(base64.b64decode(encoded or b""), TRACEBACK_BYTES).decode(errors="replace")
        )
    except (ValueError, zlib.error):
        return None
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else None


def _number(value: bytes | None) -> float | None:
    try:
        return float(value) if value else None
    except ValueError:
        return None


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()
