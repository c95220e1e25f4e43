"""Limits that come, change and go, in any order, while jobs are claimed: what must hold at every moment."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import redis
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ltmc_jobs import keys
from ltmc_jobs.queues import claims as holds
from ltmc_jobs.queues import control, producer
from ltmc_jobs.queues.claims import Claim, Claims, Ending, Run, Ticked
from ltmc_jobs.queues.contract import JobSpec
from ltmc_jobs.queues.control import Limit
from ltmc_jobs.queues.envelope import Keyring
from ltmc_jobs.registry import JobKind
from tests.queues import kinds
from tests.queues.picture import Picture

QUEUES = ("default", "low")
LIMITED = kinds.TWO_RETRIES.name
KINDS = (kinds.TWO_RETRIES, kinds.NO_RETRIES, kinds.NOTE)


def note(kind: JobKind, file: Path, line: object, seconds: float = 0.0) -> JobSpec:
    return JobSpec(kind=kind, args={"file": str(file), "line": str(line), "seconds": seconds}, project="default")


def end(claim: Claim, ending: Ending = Ending.DONE) -> Run:
    return Run(claim.job_id, claim.execution, ending, "", "{}", 0.0, 1.0, 2.0)


class LimitsModel(RuleBasedStateMachine):
    """Limits that come, change and go while three workers claim, end, die, and jobs are cancelled."""

    connection: redis.Redis
    keyring: Keyring

    @initialize()
    def begin(self) -> None:
        """An empty server."""
        self.connection.flushall()
        self.kinds: dict[str, JobKind] = {}
        self.held: dict[str, list[Claim]] = {"w0": [], "w1": [], "w2": []}
        self.workers = {name: Claims(self.connection, name, QUEUES, tag=name) for name in self.held}
        self.limits: dict[tuple[str, str], int] = {}

    def running(self) -> Counter[tuple[str, str]]:
        found: Counter[tuple[str, str]] = Counter()
        for claim in (claim for claims in self.held.values() for claim in claims):
            found["func", self.kinds[claim.job_id].name] += 1
            found["queue", claim.queue] += 1
        return found

    def claim(self, worker: str, runs: list[Run], free: int, prefetch: int = 0) -> Ticked:
        before = self.running()
        ticked = self.workers[worker].tick(runs, free, prefetch)
        self.held[worker] += ticked.claims
        for what, most in self.limits.items():
            assert self.running()[what] <= max(most, before[what])
        return ticked

    @rule(which=st.integers(0, 2), count=st.integers(1, 4))
    def enqueue(self, which: int, count: int) -> None:
        specs = [note(KINDS[which], Path("/dev/null"), n) for n in range(count)]
        self.kinds |= {spec.id: spec.kind for spec in specs}
        for command in producer.commands(specs, self.keyring):
            producer.ENQUEUE.run(self.connection, command)

    @rule(
        worker=st.sampled_from(["w0", "w1", "w2"]),
        free=st.integers(0, 3),
        prefetch=st.integers(0, 2),
        ends=st.lists(st.sampled_from([Ending.DONE, Ending.BACK, Ending.AGAIN, Ending.FAILED]), max_size=3),
        again=st.booleans(),
    )
    def tick(self, worker: str, free: int, prefetch: int, ends: list[Ending], again: bool) -> None:
        mine = self.held[worker]
        runs = [end(mine.pop(0), ending) for ending in ends if mine]
        ticked = self.claim(worker, runs, free, prefetch)
        if again:
            self.workers[worker].number -= 1
            repeated = self.workers[worker].tick(runs, free, prefetch)
            assert sorted(repeated.claims, key=str) == sorted(
                [claim._replace(claimed_at=repeated.server_time) for claim in ticked.claims], key=str
            )

    @rule(worker=st.sampled_from(["w0", "w1", "w2"]), ending=st.sampled_from([Ending.BACK, Ending.AGAIN]))
    def bury(self, worker: str, ending: Ending) -> None:
        holds.bury(self.connection, worker, ending, queues=QUEUES)
        self.held[worker] = []

    @rule(which=st.integers(0, 30))
    def cancel(self, which: int) -> None:
        if self.kinds:
            control.cancel(self.connection, list(self.kinds)[which % len(self.kinds)])

    @rule(which=st.integers(0, 30))
    def delete(self, which: int) -> None:
        """As RQ's tools do it: hash and places go, and whatever ran is told nothing."""
        picture = self.picture()
        waiting = [job for job in picture.jobs if picture.status(job) in ("queued", "deferred")]
        if not waiting:
            return
        job = waiting[which % len(waiting)]
        queue = self.kinds[job].queue
        self.connection.lrem(f"rq:queue:{queue}", 1, job)
        self.connection.zrem(f"rq:deferred:{queue}", job)
        self.connection.delete(f"rq:job:{job}")
        del self.kinds[job]

    @rule(subject=st.sampled_from(["queue", "func"]), name=st.integers(0, 1), most=st.integers(0, 3))
    def limit(self, subject: Any, name: int, most: int) -> None:
        named = QUEUES[name] if subject == "queue" else KINDS[name].name
        control.limit(self.connection, subject, named, Limit(most) if most else None)
        self.limits.pop((subject, named), None)
        if most:
            self.limits[subject, named] = most

    def picture(self) -> Picture:
        return Picture(self.connection, self.kinds, QUEUES, sorted(self.held))

    @invariant()
    def holds(self) -> None:
        """Nothing is lost, and what counts as running runs."""
        if not hasattr(self, "kinds"):
            return
        self.picture().check()
        for subject, name in self.limits:
            if subject == "func":
                running = self.connection.smembers(f"{keys.PREFIX}running:{name}")
                mine = [
                    claim for claims in self.held.values() for claim in claims if self.kinds[claim.job_id].name == name
                ]
                assert {text.decode() for text in running if isinstance(text, bytes)} == {
                    claim.member for claim in mine
                }

    def teardown(self) -> None:
        """Under whatever limits there are, all ends."""
        if not hasattr(self, "kinds"):
            return
        for _ in range(200):
            self.connection.set(f"{keys.PREFIX}leader", "w0", ex=5)
            holds.housekeep(self.connection, "w0", whole=True)
            for worker, mine in self.held.items():
                runs = [end(claim) for claim in mine]
                mine.clear()
                self.claim(worker, runs, 2)
            picture = self.picture()
            if all(picture.status(job) in ("finished", "failed", "canceled", "stopped") for job in self.kinds):
                return
        raise AssertionError(f"waits for ever: {Counter(picture.status(job) for job in self.kinds)}")
