"""`ltmc schedules`: list, aside, put-back, pause, resume, cancel."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from ltmc_jobs import keys as names
from ltmc_jobs.queues.contract import JobSpec
from ltmc_jobs.queues.for_rq.scheduler import Scheduler
from ltmc_jobs.queues.schedules.clockwork import Clockwork
from ltmc_jobs.queues.schedules.schedule import ENTRIES
from ltmc_jobs.registry import JobKind
from ltmc_jobs.shared import Shared
from tests import queue_kinds as kinds
from tests.conftest import wait_until
from tests.fleet import WorkerProcesses
from tests.looking.conftest import WAIT, Ltmc
from workers.scheduler import declare_recurring

OURS = {"recurring-resume-unfinished", "recurring-clean-up"}


def declare(shared: Shared, job_id: str, kind: JobKind = kinds.ECHO, **options: Any) -> None:
    spec = JobSpec(kind=kind, args={}, project="default", id=job_id)
    Scheduler(connection=shared.redis, keys=shared.keys).declare(spec, **options)


def lead(shared: Shared) -> Clockwork:
    """The clockwork of a process that leads."""
    shared.redis.set(names.key(names.INSTALLATION, "leader"), "us", ex=60)
    return Clockwork(shared.redis, shared.keys)


def break_entry(shared: Shared, job_id: str) -> bytes:
    """Have an entry set aside; the data that it had."""
    data: Any = shared.redis.hget(f"rq:job:{job_id}", "data")
    shared.redis.hset(f"rq:job:{job_id}", "data", "[]")
    lead(shared).adopt("us")
    return bytes(data)


def listed(ltmc: Ltmc) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in ltmc.json("schedules", "list")["schedules"]}


def aside(ltmc: Ltmc) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in ltmc.json("schedules", "aside")["aside"]}


def test_the_schedule_is_listed(shared: Shared, ltmc: Ltmc) -> None:
    """What the platform itself declares, and what others do: by interval, by cron in a zone, once."""
    assert ltmc.json("schedules", "list") == {"schedules": [], "count": 0, "total": 0}
    declare_recurring(shared)
    declare(shared, "digest", cron="0 9 * * mon-fri", timezone="Europe/Berlin", misfire="skip", overlap="queue")
    at = datetime.now(UTC).replace(microsecond=0) + timedelta(days=2)
    Scheduler(connection=shared.redis, keys=shared.keys).enqueue_at(at, kinds.ECHO, job_id="once")
    found = listed(ltmc)
    assert set(found) == OURS | {"digest", "once"}
    own = found["recurring-resume-unfinished"]
    assert (own["name"], own["interval_seconds"], own["overlap"], own["misfire"], own["cron"], own["paused"]) == (
        *("resume_unfinished", 60, "skip", "once", None, False),
    )
    assert own["last_run"] is None
    digest = found["digest"]
    assert (digest["cron"], digest["timezone"]) == ("0 9 * * mon-fri", "Europe/Berlin")
    assert (digest["misfire"], digest["overlap"], digest["project"]) == ("skip", "queue", "default")
    assert datetime.fromisoformat(digest["next_at"]) > datetime.now(UTC)
    assert found["once"]["recurs"] is False
    assert datetime.fromisoformat(found["once"]["next_at"]) == at
    some = ltmc.json("schedules", "list", "--limit", 1)
    assert (some["count"], some["total"]) == (1, 4)


def test_how_the_last_run_ended_is_shown(shared: Shared, fleet: WorkerProcesses, ltmc: Ltmc) -> None:
    """While its job is kept."""
    declare(shared, "well", interval_seconds=3600)
    declare(shared, "badly", kinds.CRASH, interval_seconds=3600)
    fleet.start("default")

    def ended() -> bool:
        found = [row["last_run"] for row in listed(ltmc).values()]
        return all(run and run["status"] in ("finished", "failed") for run in found)

    wait_until(ended, WAIT)
    found = listed(ltmc)
    assert found["well"]["last_run"]["status"] == "finished"
    assert found["well"]["last_run"]["error"] is None
    assert found["well"]["runs"] == 1
    assert found["badly"]["last_run"]["status"] == "failed"
    assert found["badly"]["last_run"]["error"]["code"] == "job_failed"
    run_id = found["well"]["last_run"]["job_id"]
    shared.redis.delete(f"rq:job:{run_id}")
    assert listed(ltmc)["well"]["last_run"] == {"job_id": run_id, "status": None, "ended_at": None, "error": None}


def test_a_schedule_is_paused_resumed_and_canceled(shared: Shared, ltmc: Ltmc) -> None:
    declare_recurring(shared)
    assert ltmc.json("schedules", "pause", "recurring-clean-up")["paused"] is True
    assert {row["id"] for row in listed(ltmc).values() if row["paused"]} == {"recurring-clean-up"}
    lead(shared).fire_due("us")
    assert [name for name in shared.redis.lrange("rq:queue:maintenance", 0, -1) if b"clean-up" in name] == []
    assert ltmc.json("schedules", "resume", "recurring-clean-up")["paused"] is False
    assert ltmc.json("schedules", "cancel", "recurring-clean-up") == {"id": "recurring-clean-up", "canceled": True}
    assert set(listed(ltmc)) == {"recurring-resume-unfinished"}
    declare_recurring(shared)
    assert set(listed(ltmc)) == OURS, "the platform declares its own again"


def test_what_was_set_aside_is_shown_and_put_back(shared: Shared, ltmc: Ltmc) -> None:
    assert ltmc.json("schedules", "aside") == {"aside": [], "count": 0}
    declare_recurring(shared)
    declare(shared, "mended", interval_seconds=60)
    data = break_entry(shared, "mended")
    shared.redis.zadd(ENTRIES, {"ghost": 5})
    lead(shared).adopt("us")
    found = aside(ltmc)
    assert set(found) == {"mended", "ghost"}
    assert "declare it again" in found["mended"]["reason"]
    assert "put-back mended" in found["mended"]["cure"]
    assert "gone" in found["ghost"]["reason"]
    assert found["ghost"]["due_at"] == "1970-01-01T00:00:05+00:00"
    assert found["ghost"]["cure"].startswith("declare it again")
    assert set(listed(ltmc)) == OURS
    shared.redis.hset("rq:job:mended", "data", data)
    assert ltmc.json("schedules", "put-back", "mended") == {"id": "mended", "put_back": True}
    assert set(listed(ltmc)) == OURS | {"mended"}
    lead(shared).fire_due("us")
    assert set(aside(ltmc)) == {"ghost"}
    assert listed(ltmc)["mended"]["runs"] == 1


def test_what_was_set_aside_can_be_given_up(shared: Shared, ltmc: Ltmc) -> None:
    """Whether its job is still there, gone, or in the schedule again meanwhile."""
    for job_id in ("tried", "again"):
        declare(shared, job_id, interval_seconds=60)
        break_entry(shared, job_id)
    shared.redis.zadd(ENTRIES, {"ghost": 5})
    lead(shared).adopt("us")
    shared.redis.zadd(ENTRIES, {"again": 5})
    assert "in the schedule again" in aside(ltmc)["again"]["cure"]
    ltmc("schedules", "put-back", "again")
    for job_id in ("tried", "ghost"):
        ltmc("schedules", "cancel", job_id)
    assert aside(ltmc) == {}
    assert set(listed(ltmc)) == {"again"}
    assert shared.redis.ttl("rq:job:tried") > 0


def test_what_cannot_be_read_is_listed_with_the_reason(shared: Shared, ltmc: Ltmc) -> None:
    """Until the clockwork sets it aside."""
    declare(shared, "bad-meta", interval_seconds=60)
    shared.redis.hset("rq:job:bad-meta", "meta", json.dumps({"cron_string": "at noon"}))
    shared.redis.set("rq:job:no-hash", "x")
    shared.redis.zadd(ENTRIES, {"ghost": 5, "no-hash": 6, "never": float("inf")})
    found = listed(ltmc)
    assert "gone" in found["ghost"]["broken"]
    assert "gone" in found["no-hash"]["broken"]
    assert found["never"]["next_at"] is None
    assert "no cron string" in found["bad-meta"]["broken"]
    assert "no cron string" in ltmc("schedules", "pause", "bad-meta", code=2)


def test_what_is_unknown_is_refused(shared: Shared, ltmc: Ltmc) -> None:
    """With a line that says where the ids are."""
    for act in ("pause", "resume", "cancel"):
        assert "there is no schedule digset; `ltmc schedules list`" in ltmc("schedules", act, "digset", code=2)
    assert "no schedule digset was set aside" in ltmc("schedules", "put-back", "digset", code=2)
    declare(shared, "broken", interval_seconds=60)
    break_entry(shared, "broken")
    assert "was set aside; `ltmc schedules aside`" in ltmc("schedules", "pause", "broken", code=2)
    at = datetime.now(UTC) + timedelta(days=2)
    Scheduler(connection=shared.redis, keys=shared.keys).enqueue_at(at, kinds.ECHO, job_id="once")
    assert "once runs once" in ltmc("schedules", "pause", "once", code=2)


def test_all_of_it_can_be_read(shared: Shared, ltmc: Ltmc) -> None:
    """In words, on a narrow and on a wide terminal."""
    assert "nothing is scheduled" in ltmc.on_terminal("schedules", "list")
    declare_recurring(shared)
    declare(shared, "digest", cron="0 9 * * *", timezone="Europe/Berlin", repeat=3)
    ltmc("schedules", "pause", "digest")
    shared.redis.zadd(ENTRIES, {"ghost": 5})
    for columns in (80, 160):
        text = ltmc.on_terminal("schedules", "list", columns=columns)
        for part in ("every 1 min", "every 1 h", "0 9 * * * Europe/Berlin, 3 more", "paused", "broken", "gone"):
            assert part in text
    lead(shared).adopt("us")
    assert "ghost, due" in ltmc.on_terminal("schedules", "aside", columns=80)
    assert "goes on, next at" in ltmc.on_terminal("schedules", "resume", "digest")
    assert ltmc.on_terminal("schedules", "cancel", "digest") == "schedule digest is canceled\n"
