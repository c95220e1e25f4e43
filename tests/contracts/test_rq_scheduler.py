"""rq-scheduler's words and keys: the same API, stock rq-scheduler beside it, and what cannot run is set aside."""

from __future__ import annotations

import json
import pickle
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import rq_scheduler
from redis import Redis
from rq import Retry

from ltmc_jobs.errors import Conflict, InvalidArguments, Misconfigured, UnknownMethod
from ltmc_jobs.queues.for_rq.scheduler import Scheduler
from ltmc_jobs.queues.schedules.clockwork import put_back, set_aside
from ltmc_jobs.queues.schedules.schedule import ENTRIES
from tests import queue_kinds as kinds
from tests.contracts.stage import Stage

LOCK = "rq:scheduler_lock"


def test_rq_schedulers_words(stage: Stage) -> None:
    """enqueue_at, enqueue_in, schedule, cron, cancel, change_execution_time, get_jobs, count, in."""
    scheduler = stage.scheduler
    later = datetime.now(UTC).replace(tzinfo=None) + timedelta(hours=1)
    one = scheduler.enqueue_at(later, kinds.echo, x=1, queue_name="low", timeout="2m", meta={"mine": 1})
    two = scheduler.enqueue_in(timedelta(minutes=1), "tests.queue_kinds.echo", x=2, job_id="two", at_front=True)
    three = scheduler.schedule(later, "echo", kwargs={"x": 3}, interval=60, repeat=5, id="three", retry=Retry(2))
    four = scheduler.cron("0 9 * * *", kinds.ECHO, id="four", timezone="Europe/Berlin", result_ttl=50)
    assert next(scheduler.get_jobs()).id == "two"
    assert {job.id for job in scheduler.get_jobs()} == {one.id, "two", "three", "four"}
    assert [job.id for job in scheduler.get_jobs(until=timedelta(minutes=2))] == ["two"]
    found = dict(scheduler.get_jobs(with_times=True))
    assert abs((found[one] - later).total_seconds()) < 0.01
    assert len(list(scheduler.get_jobs(offset=0, length=2))) == 2
    assert scheduler.count() == 4
    assert (one.origin, one.timeout, one.meta["mine"], one.get_status()) == ("low", 120, 1, "scheduled")
    assert {"interval": 60, "repeat": 5, "name": "echo"}.items() <= three.meta.items()
    assert four.meta["cron_string"] == "0 9 * * *"
    assert two in scheduler
    scheduler.cancel(two)
    assert two not in scheduler
    assert stage.field("two", "status") == "canceled"
    stage.make_due("four", stage.now() - 3)
    stage.make_due("three", stage.now() - 2)
    scheduler.change_execution_time(one, datetime.now(UTC) - timedelta(seconds=1))
    stage.fire()
    assert stage.queued("low") == [one.id]
    run = stage.scheduler.job_class.fetch(stage.queued()[0], connection=stage.redis)
    assert (run.result_ttl, run.meta["schedule"], run.args[0]["args"]) == (50, "four", {})
    run = stage.scheduler.job_class.fetch(stage.queued()[1], connection=stage.redis)
    assert (run.retries_left, run.meta["schedule"], stage.meta("three")["repeat"]) == (2, "three", 4)
    with pytest.raises(ValueError, match="not in scheduled"):
        scheduler.change_execution_time(two, later)


def test_stock_rq_scheduler_reads_the_same_set(stage: Stage) -> None:
    stage.declare()
    stock = rq_scheduler.Scheduler(connection=stage.redis, job_class=stage.scheduler.job_class)
    assert [job.id for job in stock.get_jobs()] == ["echoes"]
    assert "echoes" in stock


def test_arguments_by_place_and_by_name(stage: Stage) -> None:
    job = stage.scheduler.enqueue_in(timedelta(1), kinds.append, "/tmp/f", line="l")
    assert job.args[0]["args"] == {"file": "/tmp/f", "line": "l"}
    with pytest.raises(InvalidArguments, match="by name"):
        stage.scheduler.enqueue_in(timedelta(1), "append", "/tmp/f")
    with pytest.raises(InvalidArguments, match="content is required"):
        stage.scheduler.enqueue_in(timedelta(1), "store_memory", file_name="a.md")
    with pytest.raises(InvalidArguments, match="not JSON"):
        stage.scheduler.enqueue_in(timedelta(1), kinds.ECHO, x=object())
    assert stage.scheduler.count() == 1


@pytest.mark.parametrize("function", [time.sleep, "os.system", "nothing", "elsewhere.echo"])
def test_only_what_is_declared_can_be_scheduled(stage: Stage, function: Any) -> None:
    with pytest.raises(UnknownMethod, match="declare it with @tool"):
        stage.scheduler.enqueue_in(timedelta(seconds=1), function)


def test_what_cannot_be_is_said_before_anything_is_written(stage: Stage) -> None:
    scheduler, now = stage.scheduler, datetime.now(UTC)
    wrong: list[dict[str, Any]] = [
        {"interval": -5},
        {"repeat": 3},
        {"interval": 5, "id": "with:colon"},
        {"interval": 5, "overlap": "maybe"},
        {"interval": 5, "jitter_seconds": 5},
        {"interval": 5, "on_success": time.sleep},
        {"interval": 5, "colour": "red"},
    ]
    for options in wrong:
        with pytest.raises(InvalidArguments):
            scheduler.schedule(now, kinds.ECHO, **options)
    for cron, place in (("every day", "UTC"), ("0 0 * * *", "Mars/Base")):
        with pytest.raises(InvalidArguments):
            scheduler.cron(cron, kinds.ECHO, timezone=place)
    with pytest.raises(Misconfigured, match="keys"):
        Scheduler(connection=stage.redis)
    with pytest.raises(Misconfigured, match="no scheduler process"):
        scheduler.run()
    assert stage.redis.keys("rq:*") == []


def test_another_jobs_id_is_not_taken(stage: Stage) -> None:
    stage.redis.hset("rq:job:taken", mapping={"data": "x", "status": "queued"})
    with pytest.raises(Conflict):
        stage.declare(id="taken")
    stage.scheduler.enqueue_in(timedelta(seconds=-1), kinds.ECHO, job_id="once")
    stage.fire()
    with pytest.raises(Conflict):
        stage.scheduler.enqueue_in(timedelta(0), kinds.ECHO, job_id="once")


def test_what_cannot_run_is_set_aside_and_the_rest_goes_on(stage: Stage, redis_url: str) -> None:
    stage.declare(id="good")
    with Redis.from_url(redis_url) as connection:
        stock = rq_scheduler.Scheduler(connection=connection)
        stock.schedule(datetime.now(UTC) - timedelta(minutes=1), "os.getpid", id="pickled", interval=5)
        stock.enqueue_in(timedelta(days=300), "os.getpid", job_id="pickled-later")
    for broken in ("tampered", "other-name", "bad-cron", "bad-meta"):
        stage.declare(id=broken)
    data: Any = stage.redis.hget("rq:job:tampered", "data")
    stage.redis.hset("rq:job:tampered", "data", data.replace(b'"x":1', b'"x":2'))
    stage.redis.hset("rq:job:other-name", "data", data)
    stage.redis.hset("rq:job:bad-cron", "meta", json.dumps({"cron_string": "at noon"}))
    stage.redis.hset("rq:job:bad-meta", "meta", pickle.dumps({"interval": 5}))
    stage.redis.set("rq:job:no-hash", "x")
    stage.redis.zadd(ENTRIES, {"ghost": 5, "no-hash": 6})
    assert stage.clockwork.adopt("another") == 8, "it only looks"
    assert set_aside(stage.redis) == []
    assert stage.clockwork.adopt("us") == 8
    stage.fire()
    reasons = {entry["id"]: entry["reason"] for entry in set_aside(stage.redis)}
    assert set(reasons) == {
        *("pickled", "pickled-later", "tampered", "other-name", "bad-cron", "bad-meta", "ghost", "no-hash")
    }
    assert "Scheduler" in reasons["pickled"]
    assert "gone" in reasons["ghost"]
    assert len(stage.queued()) == 1
    assert {job.id for job in stage.scheduler.get_jobs()} == {"good"}
    assert stage.outcomes() == {"fired": 1, "set_aside": 8}


def test_a_broken_entry_is_set_aside_when_it_is_due_too(stage: Stage) -> None:
    stage.declare(id="good")
    stage.redis.zadd(ENTRIES, {"ghost": 5})
    stage.fire()
    assert [entry["id"] for entry in set_aside(stage.redis)] == ["ghost"]
    assert len(stage.queued()) == 1


def test_what_was_set_aside_can_be_put_back(stage: Stage) -> None:
    job_id = stage.declare()
    data: Any = stage.redis.hget(f"rq:job:{job_id}", "data")
    stage.redis.hset(f"rq:job:{job_id}", "data", "[]")
    stage.fire()
    assert job_id not in stage.scheduler
    stage.redis.hset(f"rq:job:{job_id}", "data", data)
    assert put_back(stage.redis, job_id) is True
    assert put_back(stage.redis, job_id) is False
    stage.fire()
    assert len(stage.queued()) == 1
    assert set_aside(stage.redis) == []


def test_what_was_set_aside_can_be_declared_anew(stage: Stage, redis_url: str) -> None:
    """As its cure says: with our Scheduler, under the id that it had."""
    with Redis.from_url(redis_url) as connection:
        stock = rq_scheduler.Scheduler(connection=connection)
        stock.schedule(datetime.now(UTC) - timedelta(minutes=1), "os.getpid", id="nightly", interval=5)
    stage.fire()
    assert [entry["id"] for entry in set_aside(stage.redis)] == ["nightly"]
    stage.declare(id="nightly")
    assert set_aside(stage.redis) == []
    stage.fire()
    assert len(stage.queued()) == 1


def test_a_stock_rqscheduler_is_told_of_and_kept_out(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    job_id = stage.declare(interval_seconds=3600)
    stock = rq_scheduler.Scheduler(connection=stage.redis, interval=5)
    assert stock.acquire_lock()
    assert stage.clockwork.fire_due("us") > 0
    assert "an rqscheduler runs beside" in capsys.readouterr().out
    assert stage.queued() == []
    stock.remove_lock()
    stage.fire()
    assert len(stage.queued()) == 1
    assert not stock.acquire_lock(), "while we lead, its loop skips its runs"
    stage.lead("the next")
    stage.make_due(job_id, stage.now() - 5)
    stage.fire("the next")
    assert len(stage.queued()) == 2
    assert 0 < stage.redis.ttl(LOCK) <= 20  # type: ignore[operator]
