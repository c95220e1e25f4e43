"""Schedules: rq-scheduler's API and keys, fired once a tick whoever leads; misfires, overlaps, broken entries."""

from __future__ import annotations

import json
import pickle
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import rq_scheduler
from redis import Redis
from rq import Retry

from ltmc_jobs import keys as names
from ltmc_jobs.errors import Conflict, InvalidArguments, Misconfigured, UnknownMethod
from ltmc_jobs.metrics import Metrics
from ltmc_jobs.queues.contract import JobSpec
from ltmc_jobs.queues.envelope import Keyring
from ltmc_jobs.queues.for_rq.scheduler import Scheduler
from ltmc_jobs.queues.schedules.clockwork import Clockwork, put_back, set_aside
from ltmc_jobs.queues.schedules.schedule import ENTRIES, Misfire, Overlap, Schedule
from tests import queue_kinds as kinds
from tests.waiting import wait_until

KEYS = Keyring([b"k" * 32])
LEADER = names.key(names.INSTALLATION, "leader")
LOCK = "rq:scheduler_lock"


class Stage:
    """A server whose leader we are, and what can be seen of its schedule."""

    def __init__(self, connection: Redis) -> None:
        self.redis = connection
        self.metrics = Metrics(connection)
        self.clockwork = Clockwork(connection, KEYS, self.metrics)
        self.scheduler = Scheduler(connection=connection, keys=KEYS)
        self.lead("us")

    def lead(self, token: str) -> None:
        self.redis.set(LEADER, token, ex=60)

    def now(self) -> int:
        seconds: Any = self.redis.time()
        return int(seconds[0])

    def declare(self, **more: Any) -> str:
        """A schedule of an echo job; its id."""
        job_id = str(more.pop("id", "echoes"))
        spec = JobSpec(kind=kinds.ECHO, args={"x": 1}, project="default", id=job_id)
        policy: dict[str, Any] = {"interval_seconds": 10} | more
        return str(self.scheduler.declare(spec, **policy).id)

    def make_due(self, job_id: str, at: float) -> None:
        self.scheduler.change_execution_time(job_id, datetime.fromtimestamp(at, UTC))

    def fire(self, token: str = "us", rounds: int = 20) -> None:
        """All that is due."""
        for _ in range(rounds):
            if self.clockwork.fire_due(token) > 0:
                return

    def queued(self, queue: str = "default") -> list[str]:
        found: Any = self.redis.lrange(f"rq:queue:{queue}", 0, -1)
        return [name.decode() for name in found]

    def field(self, job_id: str, name: str) -> str:
        value: Any = self.redis.hget(f"rq:job:{job_id}", name)
        return (value or b"").decode()

    def meta(self, job_id: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.field(job_id, "meta"))
        return found

    def next(self, job_id: str) -> float | None:
        found: Any = self.redis.zscore(ENTRIES, job_id)
        return float(found) if found is not None else None

    def outcomes(self) -> dict[str, float]:
        self.metrics.flush()
        stored: Any = self.redis.hgetall(names.key(names.INSTALLATION, "metrics", "ltmc_schedule_runs_total"))
        return {json.loads(field)[0]: float(value) for field, value in stored.items()}


@pytest.fixture
def stage(redis_url: str) -> Iterator[Stage]:
    with Redis.from_url(redis_url) as connection:
        yield Stage(connection)


def test_a_tick_is_a_run_with_an_id_of_its_own(stage: Stage) -> None:
    job_id = stage.declare()
    stage.fire()
    due = stage.meta(job_id)["ltmc_schedule"]["due"] - 10
    run = f"{job_id}-{due}"
    assert stage.queued() == [run]
    assert abs(due - stage.now()) <= 1
    assert stage.next(job_id) == due + 10
    job = stage.scheduler.job_class.fetch(run, connection=stage.redis)
    assert (job.origin, job.get_status(), job.timeout) == ("default", "queued", 300)
    assert job.meta | {"schedule": job_id, "due": due} == job.meta
    assert job.args[0]["id"] == run, "sealed for this run"
    assert stage.field(job_id, "status") == "scheduled"
    assert b"rq:queue:default" in stage.redis.smembers("rq:queues")
    assert stage.outcomes() == {"fired": 1}
    stored: Any = stage.redis.hgetall(names.key(names.INSTALLATION, "metrics", "ltmc_schedule_lateness_seconds"))
    assert float(stored[b'["sum"]']) < 1


def test_nothing_runs_before_its_time(stage: Stage) -> None:
    assert stage.clockwork.fire_due("us") > 1
    stage.scheduler.enqueue_in(timedelta(seconds=0.4), kinds.ECHO, x=1, job_id="soon")
    seconds = stage.clockwork.fire_due("us")
    assert 0 < seconds <= 0.4
    time.sleep(seconds)
    stage.fire()
    assert stage.queued() == ["soon"]
    assert "soon" not in stage.scheduler
    assert stage.field("soon", "status") == "queued"


def test_a_server_that_forgot_the_scripts_is_given_them(stage: Stage) -> None:
    stage.declare()
    stage.redis.script_flush()
    stage.fire()
    assert len(stage.queued()) == 1


def test_only_the_leader_fires(stage: Stage) -> None:
    stage.declare()
    stage.lead("another")
    assert stage.clockwork.fire_due("us") > 0
    assert stage.queued() == []
    stage.fire("another")
    assert len(stage.queued()) == 1


def test_a_leader_that_lost_its_place_after_it_read_is_refused(stage: Stage) -> None:
    stage.declare()
    late = Clockwork(Losing(stage.redis), KEYS)  # type: ignore[arg-type]
    late.fire_due("us")
    assert stage.queued() == []
    stage.fire("the next")
    assert len(stage.queued()) == 1


class Losing:
    """A connection whose process stops between reading what is due and firing it, until another leads."""

    def __init__(self, connection: Redis) -> None:
        self._connection = connection

    def pipeline(self, **options: Any) -> Any:
        self._connection.set(LEADER, "the next", ex=60)
        return self._connection.pipeline(**options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


def test_an_entry_that_moved_since_it_was_read_is_left_alone(stage: Stage) -> None:
    """Two that both believe to lead, with the same name: the tick runs once."""
    stage.declare(interval_seconds=1)
    both = [Clockwork(stage.redis, KEYS) for _ in range(4)]
    threads = [threading.Thread(target=one.fire_due, args=["us"]) for one in both for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    runs = stage.queued()
    assert len(runs) == len(set(runs))
    assert len(runs) <= 2, "one tick, or two where the second went by"


def test_declared_again_the_same_it_stays_as_it_is(stage: Stage) -> None:
    """So that each process may declare what recurs when it starts."""
    job_id = stage.declare()
    stage.fire()
    due = stage.next(job_id)
    for _ in range(3):
        stage.declare()
    stage.fire()
    assert (len(stage.queued()), stage.next(job_id)) == (1, due)
    stage.declare(interval_seconds=20)
    stage.fire()
    assert stage.next(job_id) != due


@pytest.mark.parametrize(
    ("misfire", "ticks", "runs"),
    [(Misfire.SKIP, 100, 1), (Misfire.ONCE, 100, 1), (Misfire.ALL, 6, 6)],
)
def test_missed_ticks(stage: Stage, misfire: Misfire, ticks: int, runs: int) -> None:
    """Skip runs only the tick that is within its grace; once makes up for all by one; all runs each."""
    job_id = stage.declare(misfire=misfire, interval_seconds=20)
    first = stage.now() - 20 * (ticks - 1) - 5
    stage.make_due(job_id, first)
    stage.fire()
    last = first + 20 * (ticks - 1)
    assert stage.queued() == [f"{job_id}-{last - 20 * back}" for back in range(runs - 1, -1, -1)]
    assert stage.next(job_id) == last + 20
    assert stage.outcomes().get("skipped_misfire", 0) == (0 if misfire == Misfire.ALL else 1)


def test_skipping_when_no_tick_is_within_its_grace(stage: Stage) -> None:
    job_id = stage.declare(misfire=Misfire.SKIP, interval_seconds=1000)
    first = stage.now() - 1500
    stage.make_due(job_id, first)
    stage.fire()
    assert stage.queued() == []
    assert stage.next(job_id) == first + 2000
    assert stage.outcomes() == {"skipped_misfire": 1}


@pytest.mark.parametrize("misfire", [Misfire.SKIP, Misfire.ONCE])
def test_cron_ticks_missed_for_a_year(stage: Stage, misfire: Misfire) -> None:
    job_id = stage.declare(misfire=misfire, interval_seconds=None, cron="*/5 * * * *", timezone="Europe/Berlin")
    assert stage.queued() == []
    stage.make_due(job_id, (stage.now() - 365 * 86400) // 300 * 300)
    stage.fire()
    due = stage.now() // 300 * 300
    late = stage.now() - due > 15
    assert stage.queued() == ([] if misfire == Misfire.SKIP and late else [f"{job_id}-{due}"])
    assert stage.next(job_id) == due + 300


def test_ticks_within_the_grace_all_run(stage: Stage) -> None:
    """A leader died, another took over: nothing of that is seen."""
    job_id = stage.declare(interval_seconds=2)
    first = stage.now() - 9
    stage.make_due(job_id, first)
    stage.fire()
    assert [int(run.rpartition("-")[2]) - first for run in stage.queued()] == [0, 2, 4, 6, 8]


def test_overlap(stage: Stage) -> None:
    for overlap in Overlap:
        stage.declare(id=overlap.value, overlap=overlap, interval_seconds=100)
    stage.fire()
    assert len(stage.queued()) == 3
    second = stage.now() - 3
    for overlap in Overlap:
        stage.make_due(overlap.value, second)
    stage.fire()
    assert [run for run in stage.queued() if run.endswith(str(second))] == [f"allow-{second}"]
    assert stage.next("skip") == second + 100
    waits = stage.next("queue")
    assert waits is not None
    assert waits <= stage.now() + 1.5, "it looks again soon"
    assert stage.outcomes()["skipped_overlap"] == 1
    first = stage.meta("queue")["ltmc_schedule"]["last_run"]
    stage.redis.hset(f"rq:job:{first}", "status", "failed")
    wait_until(lambda: stage.clockwork.fire_due("us") == 0 and f"queue-{second}" in stage.queued(), 5)
    assert stage.next("queue") == second + 100


def test_repeat_counts_the_runs_and_then_it_is_over(stage: Stage) -> None:
    job_id = stage.declare(interval_seconds=1, repeat=3)
    stage.make_due(job_id, stage.now() - 5)
    stage.fire()
    assert len(stage.queued()) == 3
    assert job_id not in stage.scheduler
    assert stage.field(job_id, "status") == "finished"
    assert 0 < stage.redis.ttl(f"rq:job:{job_id}") <= 86400  # type: ignore[operator]


def test_jitter_is_the_same_for_the_same_tick_and_leaves_its_id(stage: Stage) -> None:
    job_id = stage.declare(interval_seconds=100, jitter_seconds=50)
    stage.fire()
    due = stage.meta(job_id)["ltmc_schedule"]["due"]
    score = stage.next(job_id)
    assert score is not None
    assert due <= score < due + 50
    again = Schedule(id=job_id, interval_seconds=100, jitter_seconds=50)
    assert again.score(due) == score
    assert again.score(due + 100) - 100 != score
    assert stage.queued() == [f"{job_id}-{due - 100}"]


def test_paused_it_passes_its_ticks_over(stage: Stage) -> None:
    job_id = stage.declare(interval_seconds=100)
    stage.scheduler.pause(job_id)
    stage.declare(interval_seconds=100)
    stage.fire()
    assert stage.queued() == []
    assert (stage.next(job_id) or 0) > stage.now() + 90
    stage.scheduler.resume(job_id)
    stage.make_due(job_id, stage.now())
    stage.fire()
    assert len(stage.queued()) == 1
    with pytest.raises(InvalidArguments):
        stage.scheduler.pause("nobody")


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


def test_a_thousand_at_once(stage: Stage) -> None:
    for number in range(1000):
        stage.declare(id=f"many-{number}", interval_seconds=3600)
    began = time.monotonic()
    stage.fire()
    assert len(stage.queued()) == 1000
    assert time.monotonic() - began < 5
