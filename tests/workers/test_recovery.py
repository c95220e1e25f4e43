"""What dead workers held comes back, whatever the moment of their death."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ltmc_jobs.queues.contract import JobSpec
from ltmc_jobs.queues.repair import find_lost, put_lost_back
from ltmc_jobs.settings import Settings
from ltmc_jobs.shared import Shared
from tests import queue_kinds as kinds
from tests.fleet import WorkerProcesses, open_installation


@pytest.fixture
def shared(settings: Settings) -> Iterator[Shared]:
    opened = open_installation(settings)
    yield opened
    opened.close()


def test_a_job_in_no_list_is_put_back_once(shared: Shared) -> None:
    """What a worker on two queues leaves when it dies between taking a job and saying so."""
    specs = [JobSpec(kind=kinds.ECHO, args={"n": n}, project="default") for n in range(3)]
    shared.queue.enqueue_many(specs)
    assert find_lost(shared.redis) == {}
    shared.redis.lpop("rq:queue:default")
    shared.redis.lmove("rq:queue:default", "rq:queue:default:intermediate")
    lost = {spec.id for spec in specs[:2]}
    assert set(find_lost(shared.redis)) == lost
    assert set(put_lost_back(shared.redis)) == lost
    assert put_lost_back(shared.redis) == []
    assert shared.redis.llen("rq:queue:default") == 3
    assert shared.redis.llen("rq:queue:default:intermediate") == 0


@pytest.mark.parametrize("queues", [("default",), ("default", "low")])
def test_no_job_is_lost_to_kills_at_any_moment(
    shared: Shared, settings: Settings, tmp_path: Path, queues: tuple[str, ...]
) -> None:
    """Rows J01 and A01 rest on this: 12 kill -9 at random moments, every job ends, in success."""
    log = tmp_path / "log"
    specs = [
        JobSpec(kind=kinds.APPEND, args={"file": str(log), "line": str(n), "seconds": 0.002}, project="default")
        for n in range(150)
    ]
    shared.queue.enqueue_many(specs)
    fleet = WorkerProcesses(settings)
    moments = random.Random(7)
    for _ in range(12):
        worker = fleet.start(*queues)
        while not shared.redis.smembers("rq:workers"):
            time.sleep(0.01)
        time.sleep(0.05 + moments.random() * 0.15)
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        fleet.processes.remove(worker)
    fleet.start(*queues)
    for spec in specs:
        assert shared.queue.outcome(spec.id, 20).unwrap() == {"line": spec.args["line"]}
    fleet.stop()
    assert set(log.read_text().split()) == {str(n) for n in range(150)}
