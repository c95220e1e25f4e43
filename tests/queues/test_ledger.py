"""Calls served without the queue: what an earlier version noted is read on, and a call is known by its arguments."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace

from ltmc_jobs.jobs import CLEAN_UP
from ltmc_jobs.queues.contract import JobSpec, JobStatus
from ltmc_jobs.queues.local.ledger import Ledger
from tests.conftest import MakeSettings

EARLIER = """
CREATE TABLE calls (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, project TEXT NOT NULL, queue TEXT NOT NULL, reason TEXT NOT NULL,
    status TEXT NOT NULL, created_at TEXT NOT NULL, started_at TEXT, ended_at TEXT, result TEXT, error TEXT,
    pid INTEGER NOT NULL, pid_started REAL NOT NULL
);
INSERT INTO calls VALUES ('old', 'add_todo', 'p', 'high', 'off', 'finished', '2026-01-01T00:00:00+00:00', NULL, NULL,
    '{"todo_id": 1}', NULL, 1, 1.0);
"""


def test_a_file_of_an_earlier_version_is_read_on(make_settings: MakeSettings) -> None:
    settings = make_settings()
    settings.home.mkdir()
    with closing(sqlite3.connect(settings.home / "local.db")) as database:
        database.executescript(EARLIER)
    info = Ledger(settings).find("old")
    assert info is not None
    assert (info.result, "digest" in info.meta) == ({"todo_id": 1}, False)


def test_what_is_served_again_has_its_own_arguments(make_settings: MakeSettings) -> None:
    settings = make_settings()
    settings.home.mkdir()
    ledger = Ledger(settings)
    spec = JobSpec(kind=CLEAN_UP, args={}, project="p", id="keyed")
    for digest in ("one", "two"):
        ledger.add(replace(spec, digest=digest), "off")
        ledger.ended(spec.id, JobStatus.FAILED)
        info = ledger.find(spec.id)
        assert info is not None
        assert info.meta["digest"] == digest
