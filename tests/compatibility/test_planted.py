"""X12: what somebody who can write to Redis plants where results, errors and odd fields stand; and the keys."""

from __future__ import annotations

import base64
import json
import pickle
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rq.results import Result

from ltmc_jobs import keys
from ltmc_jobs.errors import LtmcError
from ltmc_jobs.queues.contract import JobSpec, JobStatus, new_job_id
from ltmc_jobs.queues.envelope import seal
from ltmc_jobs.queues.for_rq.job import Job
from ltmc_jobs.queues.for_rq.queue import Queue
from ltmc_jobs.settings import Settings
from ltmc_jobs.shared import Shared
from tests.compatibility import kinds
from tests.compatibility.jobs import begin
from tests.conftest import clean_environment, wait_until
from tests.fleet import ROOT, WorkerProcesses, open_installation

WAIT = 20.0
OLD, NEW, FOREIGN = "o" * 40, "n" * 40, "f" * 40


class Planted:
    """Touches a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return Path.touch, (self.file,)


def add(**more: Any) -> JobSpec:
    return JobSpec(kind=kinds.ADD, args={"a": 1, "b": 1}, project="default", **more)


async def test_a_pickle_on_the_way_back_is_never_opened(shared: Shared, tmp_path: Path) -> None:
    """X12: not in a result stream, in `meta`, in `data`, in a dependency: by none of our readers."""
    marker = tmp_path / "ran"
    evil = pickle.dumps(Planted(marker))
    job_id = shared.queue.enqueue(add()).id
    for status in ("finished", "failed", "queued"):
        shared.redis.hset(
            f"rq:job:{job_id}",
            mapping={"status": status, "data": zlib.compress(evil), "meta": evil, "result": evil,
                     "ltmc_error": evil, "ltmc_progress": evil, "webhooks": evil},
        )  # fmt: skip
        shared.redis.xadd(f"rq:results:{job_id}", {"type": 1, "return_value": base64.b64encode(evil)})
        assert shared.queue.status(job_id).result is None
        assert shared.queue.outcome(job_id, 0).result is None
        assert (await shared.async_queue.outcome(job_id, 0)).result is None
        assert [info.id for info in shared.queue.list()] in ([job_id], [])
        queue = Queue("default", connection=shared.redis, keys=shared.keys, serializer="pickle")
        job: Any = queue.fetch_job(job_id)
        assert isinstance(job, Job)
        assert "unserialized" in job.meta
        assert (job.func_name, job.args) == ("unreadable", ())
        with pytest.raises(ValueError, match="Expecting value"):
            job.latest_result()
        with pytest.raises(ValueError, match="Expecting value"):
            job.return_value()
        with pytest.raises(ValueError, match="Expecting value"):
            Result.all(job, job.serializer)
    await shared.async_redis.aclose()
    assert not marker.exists()
    pickle.loads(evil)  # noqa: S301 - the control
    assert marker.exists()


def test_a_result_is_json_or_a_failure(shared: Shared, fleet: WorkerProcesses) -> None:
    """X12: what a function returns is never pickled."""
    begin(fleet)
    job_id = shared.queue.enqueue(JobSpec(kinds.BE_UNFIT, {}, "default")).id
    with pytest.raises(LtmcError, match="not JSON"):
        shared.queue.outcome(job_id, WAIT).unwrap()
    assert shared.redis.xrange(f"rq:results:{job_id}")[0][1].get(b"return_value") is None


def test_planted_errors_are_told_as_they_are(shared: Shared) -> None:
    """X12: odd words where an error should stand break no reader."""
    planted: list[Any] = [
        {"code": "conflict", "message": 1, "details": {"message": "x", "self": "y", "code": "z"}},
        {"code": ["conflict"], "message": None},
        {"details": "text"},
        [1],
        "text",
    ]
    for error in planted:
        job_id = shared.queue.enqueue(add()).id
        shared.redis.hset(f"rq:job:{job_id}", mapping={"status": "failed", "ltmc_error": json.dumps(error)})
        with pytest.raises(LtmcError):
            shared.queue.outcome(job_id, 0).unwrap()


def test_odd_fields_stop_no_worker(shared: Shared, fleet: WorkerProcesses) -> None:
    """X12: a genuine job with words where RQ's numbers should be runs, or fails, and the next one runs."""
    odd: list[dict[str, Any]] = [
        {"timeout": "soon"}, {"timeout": "1e400"}, {"timeout": "-5"}, {"timeout": "30.5"}, {"result_ttl": "long"},
        {"failure_ttl": "\xff"}, {"retries_left": "many"}, {"ltmc_attempts": "inf"}, {"ltmc_attempts": "9" * 30},
        {"number_of_retries": "x"}, {"retry_intervals": '["x", {}]'}, {"retry_intervals": "{"}, {"ltmc_crashes": "x"},
        {"meta": "[1]"}, {"meta": '{"name": [1]}'}, {"meta": "\x80"}, {"dependency_ids": "x"}, {"enqueued_at": "\xff"},
        {"enqueued_at": "never"}, {"ltmc_waiters": "a b\nc"}, {"ttl": "x"}, {"worker_name": "\xff"},
    ]  # fmt: skip
    ids = []
    for kind, args in (
        (kinds.ADD, {"a": 1, "b": 1}),
        (kinds.TURN_AWAY, {}),
        (kinds.BREAK_OFF, {"file": "/", "times": 1}),
    ):
        for fields in odd:
            ids.append(shared.queue.enqueue(JobSpec(kind, args, "default")).id)
            raw = {name: value.encode("latin-1") for name, value in fields.items()}
            shared.redis.hset(f"rq:job:{ids[-1]}", mapping=raw)
    last = shared.queue.enqueue(add()).id
    begin(fleet)
    assert shared.queue.outcome(last, WAIT).unwrap() == 2
    for job_id in ids:
        wait_until(lambda: shared.queue.status(job_id).status.is_final, WAIT, job_id)  # noqa: B023
    assert shared.queue.outcome(ids[0], 0).unwrap() == 2
    assert fleet.processes[0].poll() is None
    assert shared.redis.zcard("rq:wip:default") == 0


def test_an_odd_id_stops_no_worker(shared: Shared, fleet: WorkerProcesses) -> None:
    """X12: what RQ takes for no id is not run, and the admin sees it."""
    odd = (b"\xff\xfe", b"a:b", b"a b", b"", b"x" * 10_000)
    for job_id in odd:
        shared.redis.hset(b"rq:job:" + job_id, mapping={"data": "[]", "origin": "default", "status": "queued"})
        shared.redis.rpush("rq:queue:default", job_id)
    begin(fleet)
    assert shared.queue.outcome(shared.queue.enqueue(add()).id, WAIT).unwrap() == 2
    listed: Any = shared.redis.lrange(keys.key(keys.INSTALLATION, "refused"), 0, -1)
    assert sum(b"is no id of a job" in line for line in listed) == 4
    assert shared.redis.zcard("rq:wip:default") == 0
    shared.redis.delete(*(b"rq:job:" + job_id for job_id in odd))


def test_keys_are_rotated_in_a_running_installation(
    make_settings: Callable[..., Settings], redis_url: str, tmp_path: Path
) -> None:
    """X12: jobs of the old key still run under the new one; those of a key that is not known are refused."""
    before = open_installation(make_settings(REDIS_URL=redis_url, LTMC_SIGNING_KEY=OLD))
    old = before.queue.enqueue(add()).id
    before.close()
    now = Shared.open(make_settings(REDIS_URL=redis_url, LTMC_SIGNING_KEY=f"{NEW},{OLD}"))
    foreign = Shared.open(make_settings(REDIS_URL=redis_url, LTMC_SIGNING_KEY=FOREIGN))
    bad = foreign.queue.enqueue(add()).id
    foreign.close()
    new = now.queue.enqueue(add()).id
    sealed = json.loads(seal(add(id=new), now.keys))
    assert sealed["signature"].partition(":")[0] == now.keys.sign(b"").partition(":")[0]
    fleet = WorkerProcesses(now.settings, LTMC_SIGNING_KEY=f"{NEW},{OLD}")
    begin(fleet)
    try:
        assert now.queue.outcome(old, WAIT).unwrap() == now.queue.outcome(new, WAIT).unwrap() == 2
        wait_until(lambda: now.queue.status(bad).status == JobStatus.FAILED, WAIT)
        error: Any = now.queue.status(bad).error
        assert "not of this installation" in error["message"]
        assert now.queue.status(bad).attempts == 0
    finally:
        fleet.stop()
        now.close()


@pytest.mark.parametrize("command", [["-m", "tests.compatibility.worker", "tests", "default"], ["-m", "workers.stock"]])
def test_a_worker_without_a_key_does_not_start(command: list[str], settings: Settings, tmp_path: Path) -> None:
    """X12: it says in a line what to do."""
    env = clean_environment(tmp_path / "empty", REDIS_URL=settings.redis_address(), PYTHONPATH=ROOT)
    done = subprocess.run(
        [sys.executable, *command], env=env, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert "no signing key in" in last
    assert "start the platform there once, or copy signing.key" in last


def test_a_job_with_another_jobs_words_is_not_it(shared: Shared, fleet: WorkerProcesses) -> None:
    """X12: a genuine payload under another id, and another job's payload under a genuine one."""
    begin(fleet)
    first = add()
    shared.queue.enqueue(first)
    payload: Any = shared.redis.hget(f"rq:job:{first.id}", "data")
    copied = new_job_id()
    shared.redis.hset(f"rq:job:{copied}", mapping={"data": payload, "origin": "default", "status": "queued"})
    shared.redis.rpush("rq:queue:default", copied)
    wait_until(lambda: shared.queue.status(copied).status == JobStatus.FAILED, WAIT)
    error: Any = shared.queue.status(copied).error
    assert "belongs to another job" in error["message"]
    assert shared.queue.outcome(first.id, WAIT).unwrap() == 2
