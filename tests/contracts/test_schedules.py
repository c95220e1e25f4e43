"""Schedules: fired once a tick whoever leads; misfires, overlaps, repeats, pauses."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from typing import Any

import pytest
from redis import Redis

from ltmc_jobs import keys as names
from ltmc_jobs.errors import InvalidArguments
from ltmc_jobs.queues.listing import list_jobs
from ltmc_jobs.queues.schedules.clockwork import Clockwork
from ltmc_jobs.queues.schedules.schedule import Misfire, Overlap, Schedule
from ltmc_jobs.queues.wanted import Wanted
from tests import queue_kinds as kinds
from tests.contracts.stage import KEYS, LEADER, Stage
from tests.waiting import wait_until


def listed(stage: Stage) -> list[str]:
    """What is listed of its project."""
    return [info.id for info in list_jobs(stage.redis, Wanted("default"))]


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
    assert listed(stage) == [run]
    stored: Any = stage.redis.hgetall(names.key(names.INSTALLATION, "metrics", "ltmc_schedule_lateness_seconds"))
    assert float(stored[b'["sum"]']) < 1


def test_nothing_runs_before_its_time(stage: Stage) -> None:
    assert stage.clockwork.fire_due("us") > 1
    stage.scheduler.enqueue_in(timedelta(seconds=0.4), kinds.ECHO, x=1, job_id="soon")
    seconds = stage.clockwork.fire_due("us")
    assert 0 < seconds <= 0.4
    time.sleep(seconds)
    stage.fire()
    assert stage.queued() == listed(stage) == ["soon"]
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


def test_a_thousand_at_once(stage: Stage) -> None:
    for number in range(1000):
        stage.declare(id=f"many-{number}", interval_seconds=3600)
    began = time.monotonic()
    stage.fire()
    assert len(stage.queued()) == 1000
    assert time.monotonic() - began < 5
