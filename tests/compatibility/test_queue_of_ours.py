"""Code written for RQ, with our Queue in place of RQ's: every option does what RQ says, or is refused by its name."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from rq import Callback, Repeat, Retry
from rq.exceptions import DuplicateJobError
from rq.group import Group
from rq.job import Dependency
from rq.webhook import Webhook

from ltmc_jobs.errors import InvalidArguments, Misconfigured, UnknownMethod
from ltmc_jobs.queues.claims import Claims, Ending, Run
from ltmc_jobs.queues.contract import JobStatus, following_job_id
from ltmc_jobs.queues.for_rq.queue import Queue
from ltmc_jobs.shared import Shared
from tests.compatibility import kinds, plain
from tests.compatibility.jobs import begin
from tests.conftest import clean_environment, wait_until
from tests.fleet import ROOT, WorkerProcesses

WAIT = 20.0


@pytest.fixture
def queue(shared: Shared) -> Queue:
    return Queue("default", connection=shared.redis, keys=shared.keys)


def lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


def test_a_function_is_given_by_name_path_or_itself(queue: Queue, shared: Shared, fleet: WorkerProcesses) -> None:
    """J01: the same job each time, its arguments by place or by name."""
    begin(fleet)
    jobs = [
        queue.enqueue("compat_add", a=1, b=2),
        queue.enqueue("tests.compatibility.kinds.add", kwargs={"a": 1, "b": 2}),
        queue.enqueue(kinds.add, 1, 2),
        queue.enqueue(kinds.ADD, a=1, b=2),
        queue.enqueue_call(kinds.add, args=(1,), kwargs={"b": 2}),
    ]
    assert [job.latest_result(timeout=10).return_value for job in jobs] == [3] * 5  # type: ignore[union-attr]
    assert {shared.queue.status(job.id).name for job in jobs} == {"compat_add"}


def test_a_tool_gets_its_arguments_checked(queue: Queue) -> None:
    """J01: against the schema, before anything is written."""
    with pytest.raises(InvalidArguments, match="has no argument 'nonsense'"):
        queue.enqueue("store_memory", file_name="a.md", content="x", nonsense=1)
    with pytest.raises(InvalidArguments, match="not JSON"):
        queue.enqueue(kinds.add, a=object(), b=1)
    with pytest.raises(InvalidArguments, match="is no id"):
        queue.enqueue_many([Queue.prepare_data(kinds.add, kwargs={"a": 1, "b": 1}, job_id="a b")])
    assert queue.connection.keys("rq:*") == []


def test_what_is_not_declared_is_refused_with_the_cure(queue: Queue) -> None:
    """J01, X12."""
    for function in ("os.system", os.getpid, plain.add, "nobody.declared"):
        with pytest.raises(UnknownMethod, match="declare it with @tool, or as a JobKind"):
            queue.enqueue(function, "true")  # type: ignore[arg-type]
    assert queue.connection.keys("rq:*") == []


def test_unsupported_options_are_refused_by_name(queue: Queue, shared: Shared) -> None:
    """J01: nothing that RQ would do is silently left undone."""
    callback = Callback("os.system")
    hook = Webhook("http://127.0.0.1:1/", job_status="finished")
    options: dict[str, Any] = {
        "on_success": callback,
        "on_failure": callback,
        "on_stopped": callback,
        "webhooks": [hook],
        "repeat": Repeat(times=2),
        "pipeline": shared.redis.pipeline(),
    }
    for name, value in options.items():
        with pytest.raises(InvalidArguments, match=name):
            queue.enqueue(kinds.add, args=(1, 2), **{name: value})
    with pytest.raises(InvalidArguments, match=r"pipeline|group_id"):
        Group.create(shared.redis).enqueue_many(queue, [Queue.prepare_data(kinds.add, (1, 2))])
    with pytest.raises(InvalidArguments, match="is_async"):
        Queue("default", connection=shared.redis, is_async=False)
    with pytest.raises(InvalidArguments, match="no worker works on a queue 'mine'"):
        Queue("mine", connection=shared.redis, keys=shared.keys).enqueue(kinds.add, 1, 2)
    with pytest.raises(InvalidArguments, match=r"Queue\('vectors'\)"):
        queue.enqueue(kinds.INDEX)
    assert shared.redis.keys("rq:*") == []


def test_a_queue_without_keys_says_where_they_come_from(shared: Shared, monkeypatch: pytest.MonkeyPatch) -> None:
    """J01: the installation's own, or a line that says what to do."""
    monkeypatch.setenv("LTMC_HOME", str(shared.settings.home))
    assert Queue("default", connection=shared.redis).enqueue(kinds.add, 1, 2).id
    monkeypatch.setenv("LTMC_HOME", str(shared.settings.home / "nowhere"))
    with pytest.raises(Misconfigured, match="no signing key in"):
        Queue("default", connection=shared.redis).enqueue(kinds.add, 1, 2)


def test_options_become_rqs_own_fields(queue: Queue) -> None:
    """J15: what is given counts; what is not comes from the kind."""
    job = queue.enqueue(
        kinds.add,
        args=(1, 2),
        job_timeout="2m",
        result_ttl=60,
        failure_ttl="1h",
        ttl=90,
        description="a sum",
        meta={"mine": [1]},
        job_id="sum-1",
        retry=Retry(max=2, interval=[1, 5]),
    )
    assert (job.id, job.timeout, job.result_ttl, job.failure_ttl, job.ttl) == ("sum-1", 120, 60, 3600, 90)
    assert (job.description, job.meta["mine"], job.retries_left, job.retry_intervals) == ("a sum", [1], 2, [1, 5])
    assert 0 < queue.connection.ttl(job.key) <= 90
    assert job.get_status() == "queued"
    assert job.enqueued_at is not None
    plain_one = queue.enqueue(kinds.add, 1, 2)
    assert (plain_one.timeout, plain_one.result_ttl) == (kinds.ADD.timeout_seconds, kinds.ADD.result_ttl_seconds)
    assert queue.job_ids == ["sum-1", plain_one.id]
    slow = Queue("default", connection=queue.connection, default_timeout=7, keys=queue.keys)
    assert slow.enqueue(kinds.add, 1, 2).timeout == 7
    with pytest.raises(ValueError, match="ttl must be greater"):
        queue.enqueue(kinds.add, args=(1, 2), ttl=0)


def test_the_same_id_is_the_same_job(queue: Queue) -> None:
    """J01: nothing is queued twice, and `unique` says so."""
    first = queue.enqueue(kinds.add, args=(1, 2), job_id="one")
    again = queue.enqueue(kinds.add, args=(3, 4), job_id="one")
    assert (first.id, again.created_at, queue.job_ids) == (again.id, first.created_at, ["one"])
    with pytest.raises(DuplicateJobError):
        queue.enqueue(kinds.add, args=(1, 2), job_id="one", unique=True)


def test_a_chosen_id_may_be_followed(queue: Queue, shared: Shared) -> None:
    """J01: the jobs that a tool leaves behind need an id to follow from, and RQ's need not be a UUID."""
    assert following_job_id("report-1", "x") == following_job_id("report-1", "x") != following_job_id("report-2", "x")


def test_order_front_and_many(queue: Queue, fleet: WorkerProcesses, tmp_path: Path) -> None:
    """J01: in their order, but for those that go to the front."""
    file = str(tmp_path / "log")
    data = [Queue.prepare_data(kinds.record, (file, f"many {n}"), at_front=n == 2) for n in range(3)]
    jobs = queue.enqueue_many(data)
    queue.enqueue(kinds.record, args=(file, "front"), at_front=True)
    last = queue.enqueue(kinds.record, file, "last")
    assert [job.get_status(refresh=False) for job in jobs] == ["queued"] * 3
    begin(fleet)
    last.latest_result(timeout=10)
    wait_until(lambda: len(lines(tmp_path / "log")) == 5)
    assert lines(tmp_path / "log") == ["front", "many 2", "many 0", "many 1", "last"]


def test_more_than_one_step_holds(queue: Queue) -> None:
    """J01: in commands of a thousand, in their order."""
    jobs = queue.enqueue_many([Queue.prepare_data(kinds.add, (n, 0), job_id=f"n{n}") for n in range(2500)])
    assert [job.id for job in jobs] == queue.job_ids == [f"n{n}" for n in range(2500)]


def test_later_is_by_the_servers_clock(queue: Queue, fleet: WorkerProcesses, tmp_path: Path) -> None:
    """J09: at a time or in a time, within a second; what is past is queued at once."""
    begin(fleet)
    file = str(tmp_path / "log")
    wait_until(lambda: queue.connection.zcard("ltmc:1:_:lease"), 20)
    at = time.time() + 1.2
    soon = queue.enqueue_in(timedelta(seconds=1.2), kinds.record, file, "in")
    there = queue.enqueue_at(datetime.fromtimestamp(at, UTC), kinds.record, args=(file, "at"), job_id="there")
    past = queue.enqueue_at(datetime.fromtimestamp(at - 100), kinds.record, file, "past")  # noqa: DTZ006 - RQ's way
    assert (soon.get_status(), there.get_status()) == ("scheduled", "scheduled")
    assert there.id in queue.scheduled_job_registry
    assert past.latest_result(timeout=10) is not None
    for job in (soon, there):
        wait_until(lambda: job.get_status() == "finished")  # noqa: B023
        assert job.started_at is None
        job.refresh()
        assert job.started_at is not None
        assert 0 <= job.started_at.timestamp() - at < 1.1


def test_dependents_wait_for_all_and_may_outlive_a_failure(
    queue: Queue, shared: Shared, fleet: WorkerProcesses, tmp_path: Path
) -> None:
    """J08: several parents, Dependency with allow_failure, and at the front."""
    file, gate = str(tmp_path / "log"), str(tmp_path / "gate")
    bad = queue.enqueue(kinds.turn_away)
    slow = queue.enqueue(kinds.wait_for, gate)
    both = queue.enqueue(kinds.record, args=(file, "both"), depends_on=[slow, bad])
    anyway = queue.enqueue(
        kinds.record, args=(file, "anyway"), depends_on=Dependency([slow, bad.id], allow_failure=True)
    )
    first = queue.enqueue(kinds.record, args=(file, "first"), depends_on=Dependency([slow], enqueue_at_front=True))
    assert [job.get_status() for job in (both, anyway, first)] == ["deferred"] * 3
    assert set(both.dependency_ids) == {slow.id, bad.id}
    assert slow.dependent_ids
    begin(fleet)
    wait_until(lambda: bad.get_status() == "failed")
    Path(gate).touch()
    wait_until(lambda: len(lines(tmp_path / "log")) == 2)
    assert sorted(lines(tmp_path / "log")) == ["anyway", "first"]
    assert both.get_status() == "deferred", "one of its parents failed"
    assert shared.queue.cancel(both.id)


def test_rqs_retry_is_for_any_exception_after_its_own_pauses(
    queue: Queue, shared: Shared, fleet: WorkerProcesses, tmp_path: Path
) -> None:
    """J03: a kind retries what is worth it; who gives RQ's Retry wants it for everything."""
    begin(fleet)
    twice, ever = tmp_path / "twice", tmp_path / "ever"
    good = queue.enqueue(kinds.fail, args=(str(twice), 2), retry=Retry(max=2, interval=[0, 1]))
    bad = queue.enqueue(kinds.fail, args=(str(ever), 9), retry=Retry(max=1))
    assert shared.queue.outcome(good.id, WAIT).unwrap() == "at last"
    wait_until(lambda: bad.get_status() == "failed")
    assert (len(lines(twice)), len(lines(ever))) == (3, 2)
    assert [result.type.name for result in good.results()] == ["SUCCESSFUL", "RETRIED", "RETRIED"]
    good.refresh()
    assert (good.retries_left, good.number_of_retries) == (0, 2)
    apart = good.results()[0].created_at - good.results()[1].created_at
    assert apart.total_seconds() >= 0.9, "the second pause"


def test_a_retry_may_go_to_the_front(queue: Queue) -> None:
    """J03: before what waits, where RQ's Retry says so."""
    front = queue.enqueue(kinds.add, args=(1, 2), retry=Retry(max=2, enqueue_at_front=True), job_id="front")
    queue.enqueue(kinds.add, args=(1, 2), job_id="other", retry=Retry(max=2))
    queue.enqueue(kinds.add, args=(1, 2), job_id="last")
    assert front.enqueue_at_front_on_retry is True
    claims = Claims(queue.connection, "tests", ["default"])
    held = claims.tick([], 2).claims
    failed = [Run(claim.job_id, claim.execution, Ending.FINAL, started_at=1.0, ended_at=2.0) for claim in held]
    claims.tick(failed, 0)
    assert queue.job_ids == ["front", "last", "other"]
    claims.leave()


def test_ttl_ends_a_job_that_nobody_began(queue: Queue, fleet: WorkerProcesses, tmp_path: Path) -> None:
    """J01."""
    gone = queue.enqueue(kinds.record, args=(str(tmp_path / "log"), "late"), ttl=1)
    kept = queue.enqueue(kinds.record, args=(str(tmp_path / "log"), "kept"), ttl=60)
    wait_until(lambda: not queue.connection.exists(gone.key))
    begin(fleet)
    assert kept.latest_result(timeout=10) is not None
    assert lines(tmp_path / "log") == ["kept"]
    assert 60 < queue.connection.ttl(kept.key) <= kinds.RECORD.result_ttl_seconds


def test_rqs_command_enqueues_through_our_queue(shared: Shared, fleet: WorkerProcesses) -> None:
    """J01: `rq enqueue --queue-class ltmc_jobs.queues.for_rq.queue.Queue` signs; now and later."""
    begin(fleet)
    env = clean_environment(shared.settings.home, REDIS_URL=shared.settings.redis_address(), PYTHONPATH=ROOT)
    program = "import tests.compatibility.kinds\nfrom rq.cli import main\nmain()"
    common = ["--url", shared.settings.redis_address(), "--queue-class", "ltmc_jobs.queues.for_rq.queue.Queue"]
    for number, more in enumerate((["--retry-max", "1"], ["--schedule-in", "1s"])):
        command = [sys.executable, "-c", program, "enqueue", *common, *more, "--job-id", f"cli-{number}"]
        done = subprocess.run(
            [*command, "compat_add", "a:=1", "b:=2"], env=env, cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert shared.queue.outcome(f"cli-{number}", WAIT).unwrap() == 3


def test_a_job_is_made_by_its_queue_alone(queue: Queue, shared: Shared, fleet: WorkerProcesses) -> None:
    """J01: enqueue_job of what was fetched would run nothing again; requeue does, for what failed."""
    begin(fleet)
    job = queue.enqueue(kinds.turn_away)
    wait_until(lambda: job.get_status() == "failed")
    with pytest.raises(InvalidArguments, match=r"job\.requeue\(\)"):
        queue.enqueue_job(queue.fetch_job(job.id))
    job.requeue()
    wait_until(lambda: shared.queue.status(job.id).attempts == 2)
    wait_until(lambda: shared.queue.status(job.id).status == JobStatus.FAILED)
