"""A tick's answer is lost after the server took it, while jobs go on ending."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import redis

from ltmc_jobs.queues.claims import Claims, Run, Ticked
from ltmc_jobs.queues.contract import JobSpec, JobStatus
from ltmc_jobs.queues.queue import JobQueue
from ltmc_jobs.services import Services
from ltmc_jobs.settings import Settings
from ltmc_jobs.shared import Shared
from tests.conftest import wait_until
from tests.queues import kinds
from workers.courier import Courier
from workers.executors.inline import INTERRUPT
from workers.journal import Journal
from workers.recovery import journals
from workers.runner import Runner
from workers.staff import Staff
from workers.tally import Tally


class LosingClaims(Claims):
    """Once told to, it loses the answer to a tick, and not before something was seen."""

    awaited: Any = None

    def tick(self, runs: Sequence[Run], free: int, prefetch: int = 0, **options: Any) -> Ticked:
        ticked = super().tick(runs, free, prefetch, **options)
        if self.awaited is not None:
            awaited, self.awaited = self.awaited, None
            wait_until(awaited)
            self.number -= 1  # as when the connection breaks
            raise redis.ConnectionError("the answer is lost")
        return ticked


@pytest.fixture
def claims(settings: Settings, shared: Shared) -> Iterator[LosingClaims]:
    """Of a courier at work in this process, with its executors."""
    before = signal.getsignal(INTERRUPT)
    services = Services.open(shared)
    runner, journal = Runner(services), Journal(journals(settings), "host.tests.1.1.here")
    losing = LosingClaims(shared.redis, "host.tests.1.1.here", ("default",))
    courier = Courier(shared.redis, losing, journal, shared.keys, runner.refuse, Tally(shared.metrics))
    courier.employ(Staff(settings, runner, journal, courier.ended))
    courier.start()
    yield losing
    courier.stop()
    courier.join(20)
    services.close()
    signal.signal(INTERRUPT, before)
    assert courier.error is None


def test_what_ends_while_an_answer_is_lost_is_brought_home(
    jobs: JobQueue, claims: LosingClaims, tmp_path: Path
) -> None:
    """J03: a tick that is sent again carries what it carried, and later ends go with the next one."""

    def note(name: str, seconds: float) -> JobSpec:
        args = {"file": str(tmp_path / name), "line": name, "seconds": seconds}
        return JobSpec(kind=kinds.THREAD_NOTE, args=args, project="default")

    first, second, third = note("first", 0.5), note("second", 0.0), note("third", 0.0)
    jobs.enqueue(warm := note("warm", 0.0))
    jobs.outcome(warm.id, 10).unwrap()  # from here on it has room for several at once
    jobs.enqueue(first)
    wait_until(lambda: kinds.begun(tmp_path / "first"))
    claims.awaited = lambda: "- first" in (tmp_path / "first").read_text()
    jobs.enqueue(second)
    for spec in (first, second):
        assert jobs.outcome(spec.id, 10).status == JobStatus.FINISHED
    jobs.enqueue(third)
    assert jobs.outcome(third.id, 10).status == JobStatus.FINISHED, "it is woken as before"
    assert kinds.begun(tmp_path / "first") == ["first"]
