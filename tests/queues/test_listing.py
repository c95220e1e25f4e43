"""Lists of jobs: the newest first, whatever they are of, and however many others there are."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from itertools import islice

import pytest
from redis import Redis

from ltmc_jobs.errors import InvalidArguments
from ltmc_jobs.queues.contract import JobInfo, JobSpec
from ltmc_jobs.queues.listing import NOTED, list_jobs
from ltmc_jobs.queues.producer import noted
from ltmc_jobs.queues.queue import JobQueue
from ltmc_jobs.queues.wanted import Wanted, cursor_of
from ltmc_jobs.registry import JobKind
from ltmc_jobs.shared import Shared
from tests.queues import kinds

WAIT = 20.0


@pytest.fixture
def server(shared: Shared) -> Redis:
    """Redis."""
    return shared.redis


def enqueue(jobs: JobQueue, count: int, kind: JobKind = kinds.NOTE, project: str = "mine") -> list[str]:
    """So many jobs of a kind, newest last."""
    specs = [JobSpec(kind, {"file": "nowhere"}, project) for _ in range(count)]
    return [ref.id for ref in jobs.enqueue_many(specs)]


def end(server: Redis, ids: Iterable[str], kept_seconds: float, status: str = "finished") -> None:
    """Let jobs of the default queue have ended, as RQ notes it."""
    pipeline = server.pipeline()
    for job_id in ids:
        pipeline.lrem("rq:queue:default", 1, job_id)
        pipeline.hset(f"rq:job:{job_id}", "status", status)
        pipeline.zadd(f"rq:{status}:default", {job_id: time.time() + kept_seconds})
    pipeline.execute()


def ids_of(found: Iterable[JobInfo]) -> list[str]:
    return [info.id for info in found]


def pages(server: Redis, limit: int, **which: str) -> Iterator[JobInfo]:
    """All of a list, a page at a time."""
    cursor = None
    while found := list_jobs(server, Wanted(limit=limit, cursor=cursor, **which)):
        yield from found
        cursor = cursor_of(found[-1])


def test_what_is_kept_for_less_time_is_listed_too(jobs: JobQueue, server: Redis) -> None:
    """RQ's registry has it behind everything that is kept for longer."""
    end(server, enqueue(jobs, 1200), 3600)
    newest = enqueue(jobs, 3, kinds.THREAD_NOTE)
    end(server, newest, 60)
    assert ids_of(list_jobs(server, Wanted("mine", limit=3))) == newest[::-1]
    assert ids_of(list_jobs(server, Wanted("mine", tool="thread_note"))) == newest[::-1]


@pytest.mark.parametrize("others", [0, 300])
def test_what_another_wrote_is_no_job_of_a_project(jobs: JobQueue, server: Redis, others: int) -> None:
    """J10: neither in a list that is short, nor among many."""
    enqueue(jobs, others, project="other")
    kept, *odd = enqueue(jobs, 4)
    for job_id, meta in zip(odd, ("[1]", b"\x80\x04", '{"name": "note_default", "project": "other"}'), strict=True):
        server.hset(f"rq:job:{job_id}", "meta", meta)
    assert ids_of(list_jobs(server, Wanted("mine", tool="note_default"))) == [kept]
    assert ids_of(list_jobs(server, Wanted("mine"))) == [kept]


def test_what_was_made_before_jobs_were_noted_is_listed(jobs: JobQueue, server: Redis) -> None:
    made = enqueue(jobs, 3)
    server.delete(noted("mine"))
    assert ids_of(list_jobs(server, Wanted("mine"))) == made[::-1]


@pytest.mark.parametrize("others", [0, 300])
def test_a_job_that_asks_is_told_from_one_that_only_waits(jobs: JobQueue, server: Redis, others: int) -> None:
    enqueue(jobs, others)
    waiting, asking = enqueue(jobs, 2)
    for job_id in (waiting, asking):
        server.lrem("rq:queue:default", 1, job_id)
        server.hset(f"rq:job:{job_id}", "status", "deferred")
        server.zadd("rq:deferred:default", {job_id: time.time()})
    server.hset(f"rq:job:{asking}", "ltmc_questions", '{"questions": {"colour": {}}}')
    for number in range(others):
        server.zadd("rq:deferred:default", {f"gone-{number}": number})
    assert ids_of(list_jobs(server, Wanted("mine", "input_required"))) == [asking]
    assert ids_of(list_jobs(server, Wanted("mine", "deferred"))) == [waiting]


def test_pages_show_every_job_once(jobs: JobQueue, server: Redis) -> None:
    for some in (enqueue(jobs, 20), enqueue(jobs, 20)):
        end(server, some[::2], 60, "failed")
        server.hset(f"rq:job:{some[0]}", "status", "stopped")
    assert len(list(pages(server, 3, project="mine", status="failed"))) == 18, "in one registry with the stopped"
    jobs.connection.flushall()
    made = enqueue(jobs, 700) + enqueue(jobs, 1, kinds.NO_RETRIES) + enqueue(jobs, 600)
    enqueue(jobs, 40, project="other")
    assert ids_of(pages(server, 90, project="mine")) == made[::-1]
    assert ids_of(pages(server, 90, project="mine", queue="low")) == [made[700]]
    end(server, made[::100], 3600, "failed")
    assert ids_of(pages(server, 4, project="mine", status="failed")) == made[::100][::-1]
    assert ids_of(pages(server, 4, project="mine", status="failed", tool="no_retries")) == [made[700]]


@pytest.mark.parametrize("others", [0, 300])
def test_a_job_that_has_expired_is_not_listed(jobs: JobQueue, server: Redis, others: int) -> None:
    enqueue(jobs, others, project="other")
    first, gone, last = enqueue(jobs, 3)
    server.delete(f"rq:job:{gone}")
    assert ids_of(list_jobs(server, Wanted("mine", limit=2))) == [last, first]


def test_of_a_project_without_end_the_newest_are_noted(jobs: JobQueue, server: Redis) -> None:
    """What is older is found as far as RQ's registries are looked into: failures, above all."""
    oldest = enqueue(jobs, 2)
    end(server, oldest, 3600, "failed")
    made = enqueue(jobs, NOTED + 500)
    assert server.zcard(noted("mine")) == NOTED
    assert ids_of(islice(pages(server, 500, project="mine"), 2500)) == made[:-2501:-1]
    assert ids_of(list_jobs(server, Wanted("mine", "failed"))) == oldest[::-1]
    assert list_jobs(server, Wanted("other")) == []


def test_what_is_no_cursor_is_refused(jobs: JobQueue, server: Redis) -> None:
    enqueue(jobs, 1)
    with pytest.raises(InvalidArguments, match="next_cursor"):
        list_jobs(server, Wanted("mine", cursor="yesterday"))
    assert list_jobs(server, Wanted("mine", cursor="~")) == [], "older than everything"
