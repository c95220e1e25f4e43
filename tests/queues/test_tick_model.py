"""The queue's scripts against a model in Python: random interleavings, each command perhaps sent twice."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, Phase
from hypothesis import settings as options
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from ltmc_jobs import keys
from ltmc_jobs.errors import Conflict
from ltmc_jobs.queues import claims as holds
from ltmc_jobs.queues import control, producer
from ltmc_jobs.queues.claims import Claim, Claims, Ending, Run
from ltmc_jobs.queues.contract import JobSpec
from ltmc_jobs.queues.envelope import Keyring
from ltmc_jobs.queues.waiting import WATCH
from ltmc_jobs.settings import Settings
from tests.queues import kinds
from tests.queues.picture import ENDED, Picture

QUEUES = ("default", "low")
WORKERS = {"w0": ("default", "low"), "w1": ("low", "default"), "w2": ("default",)}
CHANNEL = f"{keys.PREFIX}reply:model"
LEASES, LEADER, DUE = f"{keys.PREFIX}lease", f"{keys.PREFIX}leader", f"{keys.PREFIX}due"
LATER = 3600.0
OF_A_RUN = [ending for ending in Ending if ending != Ending.REFUSED]


@dataclass
class Job:
    """What the model knows of a job."""

    id: str
    queue: str
    left: int
    parents: tuple[str, ...]
    status: str = "queued"
    attempts: int = 0
    crashes: int = 0
    results: int = 0
    children: list[str] = field(default_factory=list)
    holder: tuple[str, str] | None = None
    cancelled: bool = False
    suspect: bool = False
    watched: bool = False


class TickModel(RuleBasedStateMachine):
    """Everything that changes a job, by three workers on two queues."""

    connection: redis.Redis
    keyring: Keyring
    ear: redis.client.PubSub

    @initialize()
    def begin(self) -> None:
        """An empty server."""
        self.connection.flushall()
        self.jobs: dict[str, Job] = {}
        self.order: list[str] = []
        self.waiting: dict[str, list[str]] = {queue: [] for queue in QUEUES}
        self.due: list[str] = []
        self.paused: set[str] = set()
        self.workers = {
            name: Claims(self.connection, name, queues, {"queues": ",".join(queues)}, tag=name)
            for name, queues in WORKERS.items()
        }
        for worker in self.workers.values():
            worker.renew()
        self.held: dict[str, list[Claim]] = {name: [] for name in WORKERS}
        self.last: dict[str, tuple[list[Run], int, list[str], list[str]] | None] = dict.fromkeys(WORKERS)
        self.has_room: dict[str, bool] = dict.fromkeys(WORKERS, False)
        self.done: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.told: Counter[str] = Counter()
        self.heard: Counter[str] = Counter()
        self.sent: tuple[list[list[Any]], list[int]] | None = None
        self.hear()
        self.heard.clear()  # of the example before

    def teardown(self) -> None:
        if hasattr(self, "jobs"):
            self.drain()

    # What the model does

    def push(self, job: Job, *, front: bool = False) -> None:
        job.status = "queued"
        self.waiting[job.queue].insert(0 if front else len(self.waiting[job.queue]), job.id)

    def is_free(self, job: Job) -> bool:
        return all(self.jobs[parent].status == "finished" for parent in job.parents)

    def end(self, worker: str, claim: Claim, ending: Ending, delay: float = 0.0) -> bool:
        """Whether it was still this worker's."""
        job = self.jobs[claim.job_id]
        if job.holder != (worker, claim.execution):
            return False
        job.holder = None
        if ending == Ending.DONE:
            self.finish(job, "finished")
        elif ending == Ending.FINAL:
            self.finish(job, "failed")
        elif job.cancelled or ending == Ending.STOPPED:
            self.finish(job, "stopped")
        elif ending == Ending.FAILED and job.left > 0:
            job.left -= 1
            job.results += 1
            if delay:
                job.status = "scheduled"
            else:
                self.push(job)
        elif ending == Ending.FAILED:
            self.finish(job, "failed")
        elif ending == Ending.CRASHED:
            job.crashes += 1
            if job.crashes >= holds.CRASH_LIMIT:
                self.finish(job, "failed")
            else:
                self.push(job)
        else:
            job.attempts -= ending == Ending.BACK
            self.push(job, front=True)
        return True

    def finish(self, job: Job, status: str) -> None:
        job.status = status
        job.cancelled = job.cancelled and status == "finished"
        job.results += 1
        self.tell(job)
        for child in [self.jobs[name] for name in job.children]:
            if child.status == "deferred" and self.is_free(child):
                self.push(child)

    def tell(self, job: Job) -> None:
        self.told[job.id] += job.watched
        job.watched = False

    def claim(self, worker: str, free: int) -> list[str]:
        taken: list[str] = []
        for queue in WORKERS[worker]:
            if queue not in self.paused:
                count = free - len(taken)
                taken += self.waiting[queue][:count]
                del self.waiting[queue][:count]
        for job_id in taken:
            self.jobs[job_id].status = "started"
            self.jobs[job_id].attempts += 1
        return taken

    def push_suspect(self, job: Job, before: dict[str, str]) -> None:
        """Behind the suspects at the front, and before the one pushed last."""
        job.status, job.suspect = "queued", True
        waiting = self.waiting[job.queue]
        known = [self.jobs[name].suspect or self.jobs[name].crashes > 0 for name in waiting]
        at = waiting.index(before[job.queue]) if job.queue in before else [*known, False].index(False)
        waiting.insert(at, job.id)
        before[job.queue] = job.id

    def bury(self, worker: str, ending: Ending, suspects: set[str]) -> None:
        before: dict[str, str] = {}
        for claim in sorted(self.held[worker], key=_place, reverse=True):
            job = self.jobs[claim.job_id]
            if job.holder != (worker, claim.execution):
                continue
            if claim.member in suspects and not job.cancelled:
                job.holder = None
                self.push_suspect(job, before)
            else:
                self.end(worker, claim, ending)
        self.has_room[worker] = False

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
            elif ending != Ending.BACK:
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
        assert WATCH.run(self.connection, [CHANNEL, job.id, "no-such-job"]) == [job.status.encode(), b""]
        job.watched = job.watched or job.status not in ENDED

    # What is always true

    @invariant()
    def agrees(self) -> None:
        """The server's state is the model's."""
        if not hasattr(self, "jobs"):
            return
        picture = Picture(self.connection, self.order, QUEUES, sorted(WORKERS))
        picture.check()
        assert picture.lists == self.waiting
        for job in self.jobs.values():
            fields = picture.fields[job.id]
            assert fields["status"] == job.status
            assert int(fields.get("ltmc_attempts", 0)) == job.attempts
            assert int(fields.get("retries_left", 0)) == job.left
            assert picture.results[job.id] == min(job.results, 10)
            assert picture.holders[job.id] == ([job.holder] if job.holder else [])
            assert ("ltmc_waiters" in fields) == job.watched
        for worker in WORKERS:
            shown = picture.shown[worker]
            assert int(shown.get("successful_job_count", 0)) == self.done[worker]
            assert int(shown.get("failed_job_count", 0)) == self.failed[worker]
        self.nobody_sleeps_beside_work(picture)
        self.hear()
        assert +self.heard == +self.told

    def hear(self) -> None:
        while (message := self.ear.get_message(timeout=0)) is not None:
            self.heard[message["data"].decode().split("\n")[0]] += 1

    def nobody_sleeps_beside_work(self, picture: Picture) -> None:
        """Who has room is woken when work comes: it is on the list of each of its queues, or has been called."""
        for worker, queues in WORKERS.items():
            if self.has_room[worker] and not picture.wakes[worker]:
                assert all(worker in picture.idle[queue] for queue in queues)
        for queue in set(QUEUES) - self.paused:
            called = any(picture.wakes[worker] for worker in WORKERS)
            assert not picture.lists[queue] or not picture.idle[queue] or called

    def drain(self) -> None:
        """All that can still run ends."""
        for queue in QUEUES:
            self.resume(queue)
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


def _place(claim: Claim) -> tuple[int, int]:
    _, tick, place = claim.execution.rsplit("-", 2)
    return int(tick), int(place)


def _run(claim: Claim, ending: Ending, delay: float) -> Run:
    payload = holds.as_result(1) if ending == Ending.DONE else holds.as_failure("trace")
    return Run(claim.job_id, claim.execution, ending, payload, '{"code": "job_failed"}', delay, 1.0, 2.0)


def _try(redis_url: str, settings_: Settings, examples: int, steps: int) -> None:
    settings_.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    Keyring.make(settings_)
    with redis.Redis.from_url(redis_url) as connection, connection.pubsub(ignore_subscribe_messages=True) as ear:
        ear.subscribe(CHANNEL)
        ear.get_message(timeout=5)
        parts = {"connection": connection, "keyring": Keyring.load(settings_), "ear": ear}
        machine = type("Machine", (TickModel,), parts)
        run_state_machine_as_test(
            machine,
            settings=options(
                max_examples=examples,
                stateful_step_count=steps,
                deadline=None,
                suppress_health_check=list(HealthCheck),
                database=None,
                phases=[Phase.generate],  # what is found is short enough to be read
                report_multiple_bugs=False,
            ),
        )
        connection.flushall()


def test_random_interleavings_agree_with_the_model(redis_url: str, settings: Settings) -> None:
    """J02, J03, J11: no job is lost, held by two, or ended twice, whatever is sent twice."""
    _try(redis_url, settings, examples=25, steps=40)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_many_interleavings_agree_with_the_model(redis_url: str, settings: Settings) -> None:
    """J02, J03, J11: the same for minutes."""
    _try(redis_url, settings, examples=600, steps=80)
