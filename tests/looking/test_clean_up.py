"""J13: old jobs are deleted by their age, page by page; never a younger one, or one that has not ended."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ltmc_jobs.errors import NotFound
from ltmc_jobs.queues.contract import JobStatus
from ltmc_jobs.queues.sweep import PAGE
from ltmc_jobs.services import Services
from ltmc_jobs.shared import Shared
from tests import queue_kinds as kinds
from tests.fleet import WorkerProcesses
from tests.looking.conftest import WAIT, put
from workers.jobs.cleanup import clean_up

STATES = {"finished": "finished", "failed": "failed", "stopped": "failed", "canceled": "canceled"}  # and its registry


@pytest.fixture
def services(shared: Shared) -> Iterator[Services]:
    opened = Services.open(shared)
    yield opened
    opened.tiers.close()


def made(shared: Shared, name: str, status: str, days: float, registry: str) -> str:
    """A job that came to this state so many days ago, kept for ever, as RQ's -1 does."""
    at = (datetime.now(UTC) - timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    fields = {"status": status, "origin": "default", "data": "x", "created_at": at, "enqueued_at": at}
    fields |= {"ended_at": at} if status in STATES else {}
    pipeline: Any = shared.redis.pipeline()
    pipeline.hset(f"rq:job:{name}", mapping=fields)
    pipeline.xadd(f"rq:results:{name}", {"type": "1"})
    pipeline.sadd(f"rq:job:{name}:dependents", "x")
    pipeline.zadd(f"rq:{registry}:default", {name: -1})
    pipeline.execute()
    return name


def keys_of(shared: Shared, name: str) -> list[bytes]:
    found: list[bytes] = shared.redis.keys(f"*{name}*")  # type: ignore[assignment]
    return found


def test_j13_old_jobs_go_and_no_other(shared: Shared, services: Services) -> None:
    """Of every state and registry: what ended before seven days goes with all its keys, the rest stays as it is."""
    for state, registry in STATES.items():
        made(shared, f"old-{state}", state, 7.1, registry)
        made(shared, f"young-{state}", state, 6.9, registry)
    for state in ("scheduled", "deferred"):
        made(shared, f"waits-{state}", state, 30, state)
    made(shared, "again", "queued", 30, "failed")  # put back by hand: an entry of before, and it has not ended
    made(shared, "runs", "started", 30, "finished")
    shared.redis.zadd("rq:deferred:default", {"expired": 1})
    assert clean_up(services)["swept"] == len(STATES) + 1
    for state, registry in STATES.items():
        assert keys_of(shared, f"old-{state}") == []
        assert len(keys_of(shared, f"young-{state}")) == 3
        assert shared.redis.zscore(f"rq:{registry}:default", f"young-{state}") == -1
    for name in ("waits-scheduled", "waits-deferred", "again", "runs"):
        assert len(keys_of(shared, name)) == 3
    assert shared.redis.zscore("rq:deferred:default", "expired") is None
    assert clean_up(services)["swept"] == 0


def test_j13_more_than_a_page(shared: Shared) -> None:
    """Pages that are emptied hide nothing behind them."""
    count = 2 * PAGE + 10
    for number in range(count):
        made(shared, f"job-{number:05}", "finished", 8 if number % 3 else 1, "finished")
    old = sum(1 for number in range(count) if number % 3)
    assert shared.queue.sweep(7) == old
    assert shared.redis.zcard("rq:finished:default") == count - old
    assert shared.queue.sweep(0.5) == count - old


def test_j13_by_the_workers_own_times(shared: Shared, fleet: WorkerProcesses) -> None:
    """Jobs that a worker ended are aged by what it wrote."""
    fleet.start("default")
    ended = [put(shared, kinds.ECHO), put(shared, kinds.CRASH)]
    assert [shared.queue.outcome(job_id, WAIT).status for job_id in ended] == [JobStatus.FINISHED, JobStatus.FAILED]
    assert shared.queue.sweep(1) == 0
    assert shared.queue.sweep(0) == 2
    for job_id in ended:
        with pytest.raises(NotFound):
            shared.queue.status(job_id)
