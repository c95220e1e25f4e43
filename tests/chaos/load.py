"""Counted jobs: put in, waited for, and compared with what they did."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ltmc_jobs.errors import NotFound
from ltmc_jobs.queues.contract import JobSpec
from ltmc_jobs.registry import ExecutorName, Queue
from ltmc_jobs.shared import Shared
from tests.chaos.effects import Effects
from tests.chaos.kinds import QUEUES, TRACED
from tests.conftest import wait_until


class Load:
    """The jobs of one test, and the file of what they did."""

    def __init__(self, shared: Shared, file: Path) -> None:
        self.shared = shared
        self.effects = Effects(file)
        self.specs: list[JobSpec] = []

    def specs_of(
        self, count: int, executors: Sequence[ExecutorName], queues: Sequence[Queue], seconds: float, **more: Any
    ) -> list[JobSpec]:
        """So many jobs over these executors and queues, each about so long."""
        moments = random.Random(len(self.specs))
        turns = itertools.cycle(itertools.product(executors, queues))
        return [
            JobSpec(
                kind=TRACED[next(turns)],
                args={"file": str(self.effects.file), "seconds": seconds * moments.uniform(0.2, 1.8)},
                project="default",
                **more,
            )
            for _ in range(count)
        ]

    def add(
        self,
        count: int,
        executors: Sequence[ExecutorName] = ("inline",),
        queues: Sequence[Queue] = QUEUES[:1],
        seconds: float = 0.02,
        **more: Any,
    ) -> list[JobSpec]:
        """Enqueue them."""
        specs = self.specs_of(count, executors, queues, seconds, **more)
        self.shared.queue.enqueue_many(specs)
        self.specs += specs
        return specs

    def states(self) -> Counter[str]:
        """How many jobs are in which state, by Redis."""
        pipeline: Any = self.shared.redis.pipeline(transaction=False)
        for spec in self.specs:
            pipeline.hget(f"rq:job:{spec.id}", "status")
        return Counter((state or b"missing").decode() for state in pipeline.execute())

    def waiting(self) -> int:
        """How many jobs have not ended yet."""
        states = self.states()
        return len(self.specs) - states["finished"] - states["failed"]

    def wait(self, seconds: float) -> None:
        """Until all have ended."""
        try:
            wait_until(lambda: not self.waiting(), seconds)
        except AssertionError:
            raise AssertionError(f"not within {seconds} s: {dict(self.states())}; {self.stuck()}") from None

    def stuck(self) -> list[dict[str, Any]]:
        """What is known of some jobs that have not ended."""
        found = []
        for spec in self.specs:
            try:
                told = self.shared.queue.status(spec.id)
            except NotFound:
                found.append({"id": spec.id, "missing": True})
                continue
            if not told.status.is_final or told.status == "failed":
                fields = self.shared.redis.hgetall(f"rq:job:{spec.id}")
                found.append(
                    {k.decode(): v.decode(errors="replace")[:120] for k, v in fields.items()} | {"id": spec.id}
                )  # type: ignore[union-attr]
            if len(found) == 3:
                break
        return found

    def check(self) -> None:
        """Every job ended in success, both by Redis and by what it did; and nothing of it stays behind."""
        assert dict(self.states()) == {"finished": len(self.specs)}, self.stuck()
        ended = self.effects.counts("E")
        lost = [spec.id for spec in self.specs if not ended[spec.id]]
        assert not lost, f"finished without having done anything: {lost[:5]}"
        self.check_results()
        self.check_left()

    def check_effects(self, kills: int) -> None:
        """No job failed for want of a run, and few ended twice."""
        assert not self.states()["failed"], self.stuck()
        again = self.effects.ended_again()
        assert again <= max(2, 0.3 * kills), f"{again} ended twice in {kills} kills"

    def check_results(self) -> None:
        """One result a job."""
        pipeline: Any = self.shared.redis.pipeline(transaction=False)
        for spec in self.specs:
            pipeline.xrange(f"rq:results:{spec.id}")
        for spec, entries in zip(self.specs, pipeline.execute(), strict=True):
            done = [fields for _, fields in entries if fields[b"type"] == b"1"]
            assert len(done) == 1, f"{spec.id} has {len(done)} results"

    def check_left(self) -> None:
        """No queue, registry of running jobs, or worker's hold has anything in it."""
        redis = self.shared.redis
        left: dict[str, Any] = {}
        for pattern in ("rq:queue:*", "rq:wip:*", "ltmc:1:_:held:*", "rq:execution:*", "rq:executions:*"):
            for key in redis.scan_iter(pattern, count=1000):
                left[key.decode()] = redis.type(key)
        assert not left, left
