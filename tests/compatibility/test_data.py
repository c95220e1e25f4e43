"""J01: what stock RQ 2.12 and ours write for the same jobs, compared field by field through RQ's own readers.

The differences that are meant stand here, and nowhere else.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import rq
from rq import Retry, Worker
from rq.job import Dependency, Job
from rq.registry import ScheduledJobRegistry, StartedJobRegistry

from ltmc_jobs.settings import Settings
from tests.compatibility.readings import known, lives, places, properties, result, shown, sizes
from tests.compatibility.sides import OurSide, Side, StockSide
from tests.conftest import wait_until
from tests.fleet import open_installation

# RQ writes these empty or not at all; reading a job needs none of them.
LEFT_OUT = {
    "success_callback_name", "failure_callback_name", "stopped_callback_name", "group_id", "started_at", "ended_at",
    "last_heartbeat", "worker_name",
}  # fmt: skip
# The name and the project; what it may do; how often it ran; how it failed; who waits for it.
ADDED = {"meta", "failure_ttl", "ltmc_attempts", "ltmc_error", "retries_left", "number_of_retries"}
OPTIONS = {"job_timeout": 50, "result_ttl": 300, "failure_ttl": 600, "description": "the same"}


@pytest.fixture
def sides(settings: Settings) -> Iterator[list[Side]]:
    shared = open_installation(settings)
    made: list[Side] = [StockSide(settings), OurSide(shared)]
    yield made
    for side in made:
        side.end()
        side.connection.close()
    shared.close()


def same(sides: list[Side], look: Callable[[Side], Any]) -> Any:
    """What both sides show, which is the same."""
    stock, ours = (look(side) for side in sides)
    assert ours == stock
    return stock


def reaches(side: Side, job: Job, status: str) -> None:
    wait_until(lambda: job.get_status() == status, 20, f"{side.name}: {status}")


def test_a_job_that_waits(sides: list[Side]) -> None:
    """J01: its hash, its place, its properties."""
    jobs = {side.name: side.enqueue("add", 1, 2, **OPTIONS) for side in sides}

    def fields(side: Side) -> set[str]:
        return set(side.hash(jobs[side.name].id))

    stock, ours = (fields(side) for side in sides)
    assert stock - ours <= LEFT_OUT
    assert ours - stock <= ADDED
    kept = stock - LEFT_OUT - {"data", "created_at", "enqueued_at"}
    same(sides, lambda side: {name: side.hash(jobs[side.name].id)[name] for name in kept})
    for side in sides:
        held = side.hash(jobs[side.name].id)
        for name in ("created_at", "enqueued_at"):
            assert re.fullmatch(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", held[name])
        assert jobs[side.name].get_position() == 0
        assert side.connection.smembers("rq:queues") == {b"rq:queue:default"}
    same(sides, lambda side: places(side, jobs[side.name].id))
    same(sides, lambda side: lives(side, jobs[side.name].id))
    same(sides, lambda side: properties(jobs[side.name]))


def test_a_job_that_ran(sides: list[Side]) -> None:
    """J01: finished with and without a result: hash, registries, result stream, times to live."""
    for side in sides:
        side.begin()
    for function, args in (("add", (1, 2)), ("nothing", ())):
        jobs = {side.name: side.enqueue(function, *args, **OPTIONS) for side in sides}
        for side in sides:
            reaches(side, jobs[side.name], "finished")
        stock, ours = ({*side.hash(jobs[side.name].id)} for side in sides)
        assert stock - ours <= LEFT_OUT
        assert ours - stock <= ADDED
        assert {"started_at", "ended_at", "worker_name", "last_heartbeat"} <= ours
        fetched = {side.name: side.fetch(jobs[side.name].id) for side in sides}
        same(sides, lambda side: properties(fetched[side.name]))  # noqa: B023
        same(sides, lambda side: result(fetched[side.name].latest_result()))  # noqa: B023
        same(sides, lambda side: [result(one) for one in fetched[side.name].results()])  # noqa: B023
        same(sides, lambda side: fetched[side.name].return_value())  # noqa: B023
        assert same(sides, lambda side: places(side, fetched[side.name].id)) == {"finished": 5}  # noqa: B023
        same(sides, lambda side: lives(side, fetched[side.name].id))  # noqa: B023
        same(sides, lambda side: fetched[side.name].get_executions())  # noqa: B023
        for side in sides:
            job = fetched[side.name]
            assert job.created_at <= job.enqueued_at <= job.started_at <= job.ended_at  # type: ignore[operator]
            assert (job.ended_at - job.started_at).total_seconds() < 5  # type: ignore[operator]
            assert {name.decode() for name in side.connection.xrange(f"rq:results:{job.id}")[0][1]} >= {
                "type", "worker_name", "execution_id", "execution_started_at", "execution_ended_at",
            }  # fmt: skip


def test_how_long_a_result_is_kept(sides: list[Side]) -> None:
    """J15: for ever, and not at all."""
    for side in sides:
        side.begin()
    kept = {side.name: side.enqueue("add", 1, 2, result_ttl=-1) for side in sides}
    gone = {side.name: side.enqueue("add", 1, 2, result_ttl=0) for side in sides}
    for side in sides:
        reaches(side, kept[side.name], "finished")
        wait_until(lambda: not side.connection.exists(gone[side.name].key), 10, side.name)  # noqa: B023
    same(sides, lambda side: places(side, kept[side.name].id))
    same(sides, lambda side: lives(side, kept[side.name].id))
    same(sides, lambda side: (lives(side, gone[side.name].id), places(side, gone[side.name].id)))


def test_a_job_that_failed(sides: list[Side], tmp_path: Path) -> None:
    """J01: the registry, the traceback, the kind of result; and the retries before it, which ours keep as results."""
    for side in sides:
        side.begin()
    once = {side.name: side.enqueue("fail", str(tmp_path / f"{side.name} 1"), 9, **OPTIONS) for side in sides}
    again = {
        side.name: side.enqueue("fail", str(tmp_path / f"{side.name} 2"), 9, retry=Retry(max=1), **OPTIONS)
        for side in sides
    }
    for jobs in (once, again):
        for side in sides:
            reaches(side, jobs[side.name], "failed")
        fetched = {side.name: side.fetch(jobs[side.name].id) for side in sides}
        same(sides, lambda side: properties(fetched[side.name]))  # noqa: B023
        assert same(sides, lambda side: places(side, fetched[side.name].id)) == {"failed": 10}  # noqa: B023
        same(sides, lambda side: lives(side, fetched[side.name].id))  # noqa: B023
        told = same(sides, lambda side: result(fetched[side.name].latest_result()))  # noqa: B023
        assert (told["type"], told["error"]) == ("FAILED", "ZeroDivisionError: not this time")
        same(sides, lambda side: fetched[side.name].retries_left or 0)  # noqa: B023
    stock, ours = ([one.type.name for one in side.fetch(again[side.name].id).results()] for side in sides)
    assert (stock, ours) == (["FAILED"], ["FAILED", "RETRIED"])


def test_a_job_that_runs(sides: list[Side], tmp_path: Path) -> None:
    """J01: its execution, its place, its worker."""
    for side in sides:
        side.begin()
    gates = {side.name: tmp_path / side.name for side in sides}
    jobs = {side.name: side.enqueue("wait_for", str(gates[side.name]), **OPTIONS) for side in sides}
    for side in sides:
        reaches(side, jobs[side.name], "started")
    fetched = {side.name: side.fetch(jobs[side.name].id) for side in sides}
    same(sides, lambda side: properties(fetched[side.name]))
    for side in sides:
        job = fetched[side.name]
        (execution,) = job.get_executions()
        assert list(places(side, job.id)) == ["started"]
        assert StartedJobRegistry("default", connection=side.connection).get_job_and_execution_ids() == [
            (job.id, execution.id)
        ]
        assert execution.job_id == job.id
        assert execution.last_heartbeat >= execution.created_at
        assert side.connection.zcard(f"rq:executions:{job.id}") == 1
        assert side.connection.ttl(execution.key) > 0 or side.name == "ours"  # which goes with the hold on the job
        (worker,) = Worker.all(connection=side.connection)
        assert worker.name == job.worker_name
        assert worker.get_current_job_id() == job.id
    same(sides, lambda side: shown(Worker.all(connection=side.connection)[0]))
    for side in sides:
        gates[side.name].touch()
        reaches(side, jobs[side.name], "finished")
        wait_until(lambda: Worker.all(connection=side.connection)[0].get_state() == "idle")  # noqa: B023
    done = same(sides, lambda side: shown(Worker.all(connection=side.connection)[0]))
    assert (done["successful"], done["failed"], done["state"]) == (1, 0, "idle")
    for side in sides:
        assert fetched[side.name].get_executions() == []
        assert not side.connection.exists(f"rq:executions:{fetched[side.name].id}")
        side.end()
        assert Worker.all(connection=side.connection) == []


def test_jobs_that_are_put_off(sides: list[Side]) -> None:
    """J08, J09: scheduled, deferred with several parents, canceled."""

    def put(side: Side) -> dict[str, str]:
        functions = side.functions
        later = side.queue.enqueue_in(timedelta(minutes=10), functions.add, args=(1, 2), **OPTIONS)
        parents = [side.enqueue("add", n, n) for n in range(2)]
        child = side.enqueue("add", 5, 6, depends_on=parents, **OPTIONS)
        loose = side.enqueue("add", 5, 6, depends_on=Dependency(parents, allow_failure=True), **OPTIONS)
        off = side.enqueue("add", 7, 8, **OPTIONS)
        off.cancel()
        return {"later": later.id, "child": child.id, "loose": loose.id, "off": off.id, "parent": parents[0].id}

    ids = {side.name: put(side) for side in sides}
    for name in ("later", "child", "loose", "off"):
        same(sides, lambda side: list(places(side, ids[side.name][name])))  # noqa: B023
        told = same(sides, lambda side: sizes(properties(side.fetch(ids[side.name][name]))))  # noqa: B023
        assert told["status"] == {"later": "scheduled", "off": "canceled"}.get(name, "deferred")
        same(sides, lambda side: {k: v for k, v in lives(side, ids[side.name][name]).items() if v != -1})  # noqa: B023
    for side in sides:
        child = side.fetch(ids[side.name]["child"])
        parent = side.fetch(ids[side.name]["parent"])
        assert {one.id for one in child.fetch_dependencies()} == set(child.dependency_ids)
        assert set(parent.dependent_ids) == {ids[side.name]["child"], ids[side.name]["loose"]}
        assert child.dependencies_are_met() is False
        due = ScheduledJobRegistry("default", connection=side.connection).get_scheduled_time(ids[side.name]["later"])
        assert abs(due.timestamp() - time.time() - 600) < 20
        side.begin()
        reaches(side, child, "finished")
        reaches(side, side.fetch(ids[side.name]["loose"]), "finished")
        assert side.fetch(ids[side.name]["off"]).get_status() == "canceled"


def test_dependents_of_a_failure(sides: list[Side], tmp_path: Path) -> None:
    """J08: who allows it runs, who does not waits on."""

    def put(side: Side) -> tuple[Job, Job, Job]:
        bad = side.enqueue("fail", str(tmp_path / side.name), 9)
        return (
            bad,
            side.enqueue("add", 1, 1, depends_on=bad),
            side.enqueue("add", 2, 2, depends_on=Dependency(bad, allow_failure=True)),
        )

    jobs = {side.name: put(side) for side in sides}
    for side in sides:
        side.begin()
        bad, strict, loose = jobs[side.name]
        reaches(side, bad, "failed")
        reaches(side, loose, "finished")
        assert strict.get_status() == "deferred"


def test_what_rq_info_shows(sides: list[Side], tmp_path: Path) -> None:
    """J01: the same numbers and words, for queues and workers, but for the worker's name."""

    def look(side: Side) -> list[str]:
        side.begin()
        reaches(side, side.enqueue("add", 1, 2), "finished")
        reaches(side, side.enqueue("fail", str(tmp_path / side.name), 9), "failed")
        side.enqueue("add", 1, 2, depends_on=side.enqueue("wait_for", str(tmp_path / f"gate {side.name}")))
        side.enqueue("add", 1, 2).cancel()
        wait_until(lambda: Worker.all(connection=side.connection)[0].get_state() == "busy")
        told = []
        for more in ((), ("--by-queue",), ("--only-queues",), ("--only-workers",), ("--raw",)):
            done = side.rq("info", *more)
            assert done.returncode == 0, done.stderr
            told += [re.sub(r"\S{10,}|\d+\)|\d\d:\d\d:\d\d|\d+ms|\s+$", "*", line) for line in done.stdout.splitlines()]
        Path(tmp_path / f"gate {side.name}").touch()
        return [line for line in told if not line.startswith("Updated")]

    same(sides, look)


def test_what_the_dashboard_shows(sides: list[Side], tmp_path: Path) -> None:
    """J01: rq-dashboard's JSON of queues, workers, lists of jobs, and each job."""
    from flask import Flask
    from rq_dashboard import blueprint, web

    def look(side: Side) -> list[Any]:
        side.begin()
        ids = [
            side.enqueue("add", 1, 2, **OPTIONS).id,
            side.enqueue("fail", str(tmp_path / side.name), 9, **OPTIONS).id,
        ]
        reaches(side, side.fetch(ids[0]), "finished")
        reaches(side, side.fetch(ids[1]), "failed")
        app = Flask(side.name)
        app.config.from_object("rq_dashboard.default_settings")
        app.config["RQ_DASHBOARD_REDIS_URL"] = side.address
        web.config.serializer = web.JSONSerializer if hasattr(web, "JSONSerializer") else rq.serializers.JSONSerializer
        web.setup_rq_connection(app)
        app.register_blueprint(blueprint, url_prefix="/rq")
        client = app.test_client()
        paths = ["queues.json", "workers.json", *(f"job/{job_id}.json" for job_id in ids)]
        paths += [f"jobs/default/{name}/8/asc/1.json" for name in ("queued", "finished", "failed")]
        answers = [client.get(f"/rq/0/data/{path}") for path in paths]
        assert [answer.status_code for answer in answers] == [200] * len(paths)
        return [known(answer.get_json()) for answer in answers]

    same(sides, look)
