"""A job that kills its process: it is found out by itself, and its neighbours end as if nothing had been."""

from __future__ import annotations

import pytest

from ltmc_jobs.queues.contract import JobSpec, JobStatus
from ltmc_jobs.registry import ExecutorName
from tests.chaos.conftest import MakeHost
from tests.chaos.kinds import POISON
from tests.chaos.load import Load
from tests.conftest import wait_until


@pytest.mark.chaos
@pytest.mark.parametrize("executor", ["inline", pytest.param("thread", marks=pytest.mark.slow)])
def test_poison_harms_nobody_else(make_host: MakeHost, load: Load, executor: ExecutorName) -> None:
    seconds = 0.02 if executor == "inline" else 0.3
    load.add(6, (executor,), seconds=seconds)
    spec = JobSpec(kind=POISON[executor], args={"file": str(load.effects.file)}, project="default")
    load.shared.queue.enqueue(spec)
    load.add(20, (executor,), seconds=seconds)
    host = make_host()
    host.start("default", fleet=True, processes=1)
    ended = wait_until(lambda: _ended(load, spec), 40, "the culprit is set aside")
    load.wait(30)
    assert ended.status == JobStatus.FAILED
    assert ended.error["code"] in ("child_died", "job_lost")
    assert ended.error["details"]["signal"] == "SIGKILL"
    begun = load.effects.counts("B")
    assert begun.pop(spec.id) == 4, "once among others, three times alone"
    assert max(begun.values()) <= 2
    assert load.effects.ended_again() == 0
    assert host.stop() == [0]
    load.check()


def _ended(load: Load, spec: JobSpec) -> object:
    told = load.shared.queue.status(spec.id)
    return told if told.status.is_final else None
