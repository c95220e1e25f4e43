"""What can happen to jobs, in any order, each command perhaps sent twice: to the server and to the model."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import redis
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ltmc_jobs import keys
from ltmc_jobs.errors import Conflict
from ltmc_jobs.queues import claims as holds
from ltmc_jobs.queues import control, producer
from ltmc_jobs.queues.claims import Claim, Claims, Ending, Run
from ltmc_jobs.queues.contract import JobSpec
from ltmc_jobs.queues.envelope import Keyring
from ltmc_jobs.queues.waiting import WATCH
from tests.queues import kinds
from tests.queues.model import ASKED, QUEUES, WORKERS, Job, Model
from tests.queues.picture import ENDED, Picture

CHANNEL = f"{keys.PREFIX}reply:model"
LEASES, LEADER, DUE = f"{keys.PREFIX}lease", f"{keys.PREFIX}leader", f"{keys.PREFIX}due"
LATER = 3600.0
OF_A_RUN = [ending for ending in Ending if ending != Ending.REFUSED]


class TickModel(Model, RuleBasedStateMachine):
    """Everything that changes a job, by three workers on two queues."""

    connection: redis.Redis
    keyring: Keyring

    @initialize()
    def begin(self) -> None:
        """An empty server."""
        self.connection.flushall()
        self.ear = self.connection.pubsub(ignore_subscribe_messages=True)
        self.ear.subscribe(CHANNEL)
        self.ear.get_message(timeout=5)
        self.clear()
        self.due: list[str] = []
        self.workers = {
            name: Claims(self.connection, name, queues, {"queues": ",".join(queues)}, tag=name)
            for name, queues in WORKERS.items()
        }
        for worker in self.workers.values():
            worker.renew()
        self.last: dict[str, tuple[list[Run], int, list[str], list[str]] | None] = dict.fromkeys(WORKERS)
        self.done: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.heard: Counter[str] = Counter()
        self.sent: tuple[list[list[Any]], list[int]] | None = None

    def teardown(self) -> None:
        if hasattr(self, "jobs"):
            try:
                self.drain()
            finally:
                self.ear.close()

    # What happens

    @rule(
        plan=st.lists(
            st.tuples(st.booleans(), st.integers(0, 3), st.integers(0, 2), st.booleans()), min_size=1, max_size=4
        ),
        watched=st.booleans(),
    )
    def enqueue(self, plan: list[tuple[bool, int, int, bool]], watched: bool) -> None:
        specs = []
        known = list(self.order)
        for low, parents, how, late in plan:
            depends = tuple(known[-(1 + n * 2)] for n in range(min(parents, len(known) // 2)))
            spec = JobSpec(
                kind=kinds.NO_RETRIES if low else kinds.TWO_RETRIES,
                args={"file": "/dev/null"},
                project="default",
                depends_on=depends if how else (),
                delay_seconds=LATER if late and how == 2 else None,
            )
            specs.append(spec)
            known.append(spec.id)
        commands = producer.commands(specs, self.keyring, CHANNEL if watched else "")
        made = [one for command in commands for one in producer.ENQUEUE.run(self.connection, command)]
        assert made == [1] * len(specs)
        self.sent = (commands, made)
        for spec in specs:
            job = Job(
                spec.id, spec.kind.queue, spec.kind.retries, tuple(dict.fromkeys(spec.depends_on)), watched=watched
            )
            self.jobs[job.id] = job
            self.order.append(job.id)
            for parent in job.parents:
                self.jobs[parent].children.append(job.id)
            if spec.delay_seconds:
                job.status = "scheduled"
            elif not self.is_free(job):
                job.status = "deferred"
            else:
                self.push(job)

    @precondition(lambda self: self.sent is not None)
    @rule()
    def enqueue_again(self) -> None:
        """The answer was lost, however long ago."""
        assert self.sent is not None
        commands, made = self.sent
        assert [one for command in commands for one in producer.ENQUEUE.run(self.connection, command)] == made

    @rule(
        worker=st.sampled_from(sorted(WORKERS)),
        free=st.integers(0, 3),
        ends=st.lists(st.tuples(st.sampled_from(OF_A_RUN), st.sampled_from([0.0, LATER])), max_size=4),
    )
    def tick(self, worker: str, free: int, ends: list[tuple[Ending, float]]) -> None:
        mine = self.held[worker]
        ended = [(mine.pop(0), *end) for end in ends if mine]
        runs = [_run(claim, ending, delay) for claim, ending, delay in ended]
        self.connection.delete(f"{keys.PREFIX}wake:{worker}")  # it has read what woke it
        ticked = self.workers[worker].tick(runs, free)
        refused = []
        for claim, ending, delay in ended:
            if not self.end(worker, claim, ending, delay):
                refused.append(claim.member)
            elif ending == Ending.DONE:
                self.done[worker] += 1
            elif ending not in (Ending.BACK, Ending.AGAIN, Ending.ASKS):
                self.failed[worker] += 1
        assert sorted(ticked.refused) == sorted(refused)
        expected = self.claim(worker, free)
        assert [claim.job_id for claim in ticked.claims] == expected
        for claim in ticked.claims:
            self.jobs[claim.job_id].holder = (worker, claim.execution)
            assert claim.attempt == self.jobs[claim.job_id].attempts
        mine += ticked.claims
        self.last[worker] = (runs, free, refused, [claim.member for claim in ticked.claims])
        self.has_room[worker] = len(ticked.claims) < free

    @rule(worker=st.sampled_from(sorted(WORKERS)))
    def tick_again(self, worker: str) -> None:
        """The answer to its last tick was lost: it is sent once more, with whatever room there is by now."""
        last = self.last[worker]
        if last is None:
            return
        runs, free, refused, members = last
        self.workers[worker].number -= 1
        ticked = self.workers[worker].tick(runs, free)
        assert sorted(ticked.refused) == sorted(refused)
        still = {
            claim.member for claim in self.held[worker] if self.jobs[claim.job_id].holder == (worker, claim.execution)
        }
        assert {claim.member for claim in ticked.claims} == still & set(members)

    @rule(
        worker=st.sampled_from(sorted(WORKERS)),
        ending=st.sampled_from([Ending.BACK, Ending.AGAIN]),
        suspected=st.integers(0, 2),
        twice=st.booleans(),
    )
    def bury_at_once(self, worker: str, ending: Ending, suspected: int, twice: bool) -> None:
        """Its process is dead, or takes its leave."""
        suspects = {claim.member for claim in self.held[worker][:suspected]}
        for _ in range(1 + twice):
            holds.bury(self.connection, worker, ending, suspects=sorted(suspects), queues=WORKERS[worker])
        self.bury(worker, ending, suspects)

    @rule(worker=st.sampled_from(sorted(WORKERS)), renewed=st.booleans())
    def lose_lease(self, worker: str, renewed: bool) -> None:
        """Nothing was heard of it; it may come back before it is buried."""
        if self.connection.zscore(LEASES, worker) is None:
            return
        self.connection.zadd(LEASES, {worker: 1.0})
        ended = self.keep_house()
        assert worker in ended
        if renewed:
            assert self.workers[worker].renew().held_on
        buried = holds.bury(self.connection, worker, Ending.AGAIN, lease_ended_seconds=0.0)
        assert (buried is None) == renewed
        if not renewed:
            self.bury(worker, Ending.AGAIN, set())

    @rule(count=st.integers(0, 3))
    def come_due(self, count: int) -> None:
        """The time of some jobs has come."""
        for moment, job in enumerate([job for job in self.jobs.values() if job.status == "scheduled"][:count]):
            self.connection.zadd(f"rq:scheduled:{job.queue}", {job.id: float(1 + moment)})
            self.due.append(job.id)
        self.keep_house()

    def keep_house(self) -> list[str]:
        self.connection.set(LEADER, "w0", ex=5)
        found = holds.housekeep(self.connection, "w0", whole=True)
        assert found is not None
        due, self.due = self.due, []
        for job in (self.jobs[job_id] for job_id in due):
            if job.status == "scheduled":
                if self.is_free(job):
                    self.push(job)
                else:
                    job.status = "deferred"
        return found[1]

    @rule(worker=st.sampled_from(sorted(WORKERS)))
    def renew(self, worker: str) -> None:
        self.workers[worker].renew()

    @precondition(lambda self: self.jobs)
    @rule(which=st.integers(0, 50), twice=st.booleans())
    def cancel(self, which: int, twice: bool) -> None:
        job = self.jobs[self.order[which % len(self.order)]]
        for _ in range(1 + twice):
            assert control.cancel(self.connection, job.id) == (job.status not in ("finished", "failed"))
            if job.status in ("queued", "deferred", "scheduled"):
                if job.status == "queued":
                    self.waiting[job.queue].remove(job.id)
                job.status = "canceled"
                job.asks.clear()
                job.results += 1
                self.tell(job)
            elif job.status == "started":
                job.cancelled = True

    @precondition(lambda self: self.jobs)
    @rule(which=st.integers(0, 50), twice=st.booleans())
    def retry(self, which: int, twice: bool) -> None:
        job = self.jobs[self.order[which % len(self.order)]]
        for _ in range(1 + twice):
            try:
                control.retry(self.connection, job.id)
            except Conflict:
                assert job.status not in ("failed", "stopped", "queued")
            else:
                assert job.status in ("failed", "stopped", "queued")
                if job.status != "queued":
                    job.crashes, job.cancelled = 0, False
                    self.push(job)

    @precondition(lambda self: self.jobs)
    @rule(which=st.integers(0, 50), given=st.sets(st.sampled_from([*ASKED, "weight"])), twice=st.booleans())
    def answer_questions(self, which: int, given: set[str], twice: bool) -> None:
        self.give(self.jobs[self.order[which % len(self.order)]], given, 1 + twice)

    def give(self, job: Job, given: set[str], times: int = 1) -> None:
        for _ in range(times):
            left = control.answer(self.connection, job.id, dict.fromkeys(given, "so"), self.keyring)
            assert set(left) == job.asks - given
            self.answer(job, given)

    @rule(queue=st.sampled_from(QUEUES))
    def pause(self, queue: str) -> None:
        control.pause(self.connection, queue, "because", "a test")
        self.paused.add(queue)

    @rule(queue=st.sampled_from(QUEUES))
    def resume(self, queue: str) -> None:
        control.resume(self.connection, queue)
        self.paused.discard(queue)

    @precondition(lambda self: self.jobs)
    @rule(which=st.integers(0, 50))
    def watch(self, which: int) -> None:
        job = self.jobs[self.order[which % len(self.order)]]
        shown = "asks" if job.asks else job.status
        assert WATCH.run(self.connection, [CHANNEL, job.id, "no-such-job"]) == [shown.encode(), b""]
        job.watched = job.watched or job.status not in ENDED

    # What is always true

    @invariant()
    def agrees(self) -> None:
        """The server's state is the model's."""
        if not hasattr(self, "jobs"):
            return
        picture = Picture(self.connection, self.order, QUEUES, sorted(WORKERS))
        picture.check()
        self.check(picture)
        for worker in WORKERS:
            shown = picture.shown[worker]
            assert int(shown.get("successful_job_count", 0)) == self.done[worker]
            assert int(shown.get("failed_job_count", 0)) == self.failed[worker]
        self.hear()
        assert +self.heard == +self.told

    def hear(self) -> None:
        while (message := self.ear.get_message(timeout=0)) is not None:
            self.heard[message["data"].decode().split("\n")[0]] += 1

    def drain(self) -> None:
        """All that can still run ends."""
        for queue in QUEUES:
            self.resume(queue)
        for job in self.jobs.values():
            self.give(job, set(ASKED))
        for _ in range(100):
            for job in self.jobs.values():
                if job.status == "scheduled":
                    self.connection.zadd(f"rq:scheduled:{job.queue}", {job.id: 1.0})
                    self.due.append(job.id)
            self.due.sort()
            self.keep_house()
            for worker in WORKERS:
                self.tick(worker, 3, [(Ending.DONE, 0.0)] * len(self.held[worker]))
            if not any(job.status in ("queued", "started", "scheduled") for job in self.jobs.values()):
                break
        for job in self.jobs.values():
            assert job.status in ENDED or (job.status == "deferred" and not self.is_free(job))
        self.agrees()


def _run(claim: Claim, ending: Ending, delay: float) -> Run:
    payload = holds.as_result(1) if ending == Ending.DONE else holds.as_failure("trace")
    if ending == Ending.ASKS:
        payload = json.dumps({"questions": {key: {} for key in ASKED}, "first": True})
    return Run(claim.job_id, claim.execution, ending, payload, '{"code": "job_failed"}', delay, 1.0, 2.0)
