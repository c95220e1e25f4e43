"""Ledger: the calls that were served on this machine without the queue, each with its real end. One file of the home.

It outlives the process that served them. Bounded: the newest calls, for a day.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import psutil

from ltmc_jobs.errors import JobLost, LtmcError, NotFound, from_dict
from ltmc_jobs.queues.contract import JobInfo, JobSpec, JobStatus, Outcome
from ltmc_jobs.queues.wanted import Wanted
from ltmc_jobs.settings import Settings

CALLS = 500
KEPT_SECONDS = 86_400
RESULT_BYTES = 1_000_000
BUSY_SECONDS = 2.0
SCHEMA = """
CREATE TABLE IF NOT EXISTS calls (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, project TEXT NOT NULL, queue TEXT NOT NULL, reason TEXT NOT NULL,
    status TEXT NOT NULL, created_at TEXT NOT NULL, started_at TEXT, ended_at TEXT, result TEXT, error TEXT,
    pid INTEGER NOT NULL, pid_started REAL NOT NULL, digest TEXT NOT NULL DEFAULT ''
);
CREATE INDEX IF NOT EXISTS calls_newest ON calls (created_at);
"""
ADD = """
INSERT INTO calls (id, name, project, queue, reason, digest, status, created_at, pid, pid_started)
VALUES (?, ?, ?, ?, ?, ?, 'queued', ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET status = 'queued', created_at = excluded.created_at, started_at = NULL, ended_at = NULL,
    result = NULL, error = NULL, reason = excluded.reason, pid = excluded.pid, pid_started = excluded.pid_started,
    digest = excluded.digest
"""
TRIM = """
DELETE FROM calls WHERE created_at < ?
    OR id IN (SELECT id FROM calls ORDER BY created_at DESC LIMIT -1 OFFSET ?)
"""
READ = """
SELECT id, name, project, queue, reason, status, created_at, started_at, ended_at, result, error, pid, pid_started,
    digest
FROM calls
"""
NEWEST = """
WHERE project = ? AND (? IS NULL OR queue = ?) ORDER BY created_at DESC
"""


class Ledger:
    """Threads may share it. The file is made with the first call that is noted."""

    def __init__(self, settings: Settings) -> None:
        self._path = settings.home / "local.db"
        self._lock = threading.Lock()
        self._own = (os.getpid(), psutil.Process().create_time())

    @property
    def is_there(self) -> bool:
        """Whether any call was ever noted."""
        return self._path.exists()

    def add(self, spec: JobSpec, reason: str) -> None:
        """Note a call that waits for its turn; the same id again begins anew."""
        before = _shown(datetime.now(UTC) - timedelta(seconds=KEPT_SECONDS))
        kind = spec.kind
        with self._lock, closing(self._open()) as database, database:
            told = [kind.name, spec.project, kind.queue.value, reason, spec.digest]
            database.execute(ADD, [spec.id, *told, _now(), *self._own])
            database.execute(TRIM, [before, CALLS])

    def started(self, job_id: str) -> None:
        """Note that it runs."""
        with self._lock, closing(self._open()) as database, database:
            database.execute("UPDATE calls SET status = 'started', started_at = ? WHERE id = ?", [_now(), job_id])

    def ended(self, job_id: str, status: JobStatus, result: Any = None, error: LtmcError | None = None) -> None:
        """Note how it ended."""
        shown = json.dumps(error.as_dict()) if error else None
        kept = json.dumps(result) if error is None else None
        if kept is not None and len(kept) > RESULT_BYTES:
            kept = None
        with self._lock, closing(self._open()) as database, database:
            database.execute(
                "UPDATE calls SET status = ?, ended_at = ?, result = ?, error = ? WHERE id = ?",
                [status.value, _now(), kept, shown, job_id],
            )

    def find(self, job_id: str) -> JobInfo | None:
        """What is known of a call; None for one that was never served here, or is forgotten."""
        if not self.is_there:
            return None
        with self._lock, closing(self._open()) as database:
            row = database.execute(f"{READ} WHERE id = ?", [job_id]).fetchone()
        return None if row is None else _info(row)

    def outcome(self, job_id: str) -> Outcome:
        """How a call stands; NotFound for an unknown one."""
        info = self.find(job_id)
        if info is None:
            raise NotFound(f"there is no job {job_id}, or it has expired", job_id=job_id)
        error = from_dict(info.error) if info.error else None
        if error is None and info.status == JobStatus.FINISHED and info.result is None:
            error = NotFound("its result was too long to be kept; call again", job_id=job_id)
        return Outcome.of(info, error)

    def list(self, wanted: Wanted) -> list[JobInfo]:
        """A project's calls, newest first."""
        if not self.is_there:
            return []
        with self._lock, closing(self._open()) as database:
            rows = database.execute(READ + NEWEST, [wanted.project, wanted.queue, wanted.queue]).fetchall()
        return [info for row in rows if wanted.has(info := _info(row))][: wanted.limit]

    def _open(self) -> sqlite3.Connection:
        if not self._path.exists():
            os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600))
        database = sqlite3.connect(self._path, timeout=BUSY_SECONDS)
        try:
            database.execute("PRAGMA synchronous = OFF")  # a killed process loses nothing; a power cut may lose a note
            database.executescript(SCHEMA)
            if "digest" not in [column[1] for column in database.execute("PRAGMA table_info(calls)")]:
                try:
                    database.execute("ALTER TABLE calls ADD COLUMN digest TEXT NOT NULL DEFAULT ''")
                except sqlite3.OperationalError as error:
                    if "duplicate column" not in str(error):  # another process was first
                        raise
        except BaseException:
            database.close()
            raise
        return database


def _info(row: tuple[Any, ...]) -> JobInfo:
    job_id, name, project, queue, reason, status, created, started, ended, result, error, pid, since, digest = row
    known = JobStatus(status)
    told = json.loads(error) if error else None
    if not known.is_final and not _lives(pid, since):
        known, told = JobStatus.FAILED, JobLost("the process that served it ended before it did").as_dict()
    return JobInfo(
        id=job_id,
        name=name,
        status=known,
        queue=queue,
        project=project,
        created_at=created,
        enqueued_at=created,
        started_at=started,
        ended_at=ended,
        result=json.loads(result) if result else None,
        error=told,
        attempts=1 if started else 0,
        meta={"served": "locally", "reason": reason} | ({"digest": digest} if digest else {}),
    )


def _lives(pid: int, since: float) -> bool:
    try:
        return abs(psutil.Process(pid).create_time() - since) < 1.0
    except psutil.Error:
        return False


def _now() -> str:
    return _shown(datetime.now(UTC))


def _shown(when: datetime) -> str:
    return when.isoformat(timespec="microseconds")
