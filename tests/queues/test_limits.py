"""Limits and pauses, checked where jobs are claimed: never exceeded, and nobody waits for ever."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, Phase
from hypothesis import settings as options
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from ltmc_jobs import keys
from ltmc_jobs.queues import claims as holds
from ltmc_jobs.queues import control, producer
from ltmc_jobs.queues.claims import Claim, Claims, Ending, Run, Ticked
from ltmc_jobs.queues.contract import JobSpec, JobStatus
from ltmc_jobs.queues.control import Limit
from ltmc_jobs.queues.envelope import Keyring
from ltmc_jobs.queues.queue import JobQueue
from ltmc_jobs.registry import JobKind, Queue
from ltmc_jobs.settings import Settings
from ltmc_jobs.shared import Shared
from tests.queues import kinds
from tests.queues.conftest import Fleet
from tests.queues.picture import Picture

QUEUES = ("default", "low")
LIMITED = kinds.TWO_RETRIES.name
KINDS = (kinds.TWO_RETRIES, kinds.NO_RETRIES, kinds.NOTE)
WAIT = 30.0


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


def try_model(redis_url: str, settings: Settings, examples: int, steps: int) -> None:
    settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    Keyring.make(settings)
    with redis.Redis.from_url(redis_url) as connection:
        machine = type("Machine", (LimitsModel,), {"connection": connection, "keyring": Keyring.load(settings)})
        chosen = options(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
            phases=[Phase.generate],
            report_multiple_bugs=False,
        )
        run_state_machine_as_test(machine, settings=chosen)
        connection.flushall()


def test_limits_hold_and_nobody_waits_for_ever(redis_url: str, settings: Settings) -> None:
    """J02: at most so many at once, of a queue and of a function, whoever ends, dies or is cancelled."""
    try_model(redis_url, settings, examples=20, steps=30)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_limits_hold_for_long(redis_url: str, settings: Settings) -> None:
    """J02: the same for minutes."""
    try_model(redis_url, settings, examples=400, steps=60)


@pytest.mark.parametrize("subject", ["queue", "func"])
def test_workers_keep_a_limit(jobs: JobQueue, fleet: Fleet, tmp_path: Path, subject: Any) -> None:
    """J02: three processes, at most two at once, and other jobs are not held up."""
    for n in range(3):
        fleet.start("default", "low", pool=f"p{n}")
    name = "default" if subject == "queue" else kinds.NOTE.name
    jobs.limit(subject, name, Limit(at_once=2))
    limited = jobs.enqueue_many([note(kinds.NOTE, tmp_path / "log", n, 0.05) for n in range(24)])
    other = jobs.enqueue(note(kinds.NOTES[Queue.LOW], tmp_path / "other", "other"))
    jobs.outcome(other.id, WAIT).unwrap()
    for ref in limited:
        jobs.outcome(ref.id, WAIT).unwrap()
    assert kinds.most_at_once(tmp_path / "log") == 2
    assert Counter(kinds.begun(tmp_path / "log")) == Counter(str(n) for n in range(24))


@pytest.mark.parametrize("subject", ["queue", "func"])
def test_workers_keep_a_rate(jobs: JobQueue, fleet: Fleet, tmp_path: Path, subject: Any) -> None:
    """J02: a period's jobs at once, and then one after the other as the rate lets them; in their order."""
    fleet.start("default", pool="one")
    fleet.start("default", pool="two")
    jobs.outcome(jobs.enqueue(note(kinds.THREAD_NOTE, tmp_path / "ready", 0)).id, WAIT)
    name = "default" if subject == "queue" else kinds.NOTE.name
    jobs.limit(subject, name, Limit(jobs=5, seconds=1.0))
    started = time.monotonic()
    for ref in jobs.enqueue_many([note(kinds.NOTE, tmp_path / "log", n) for n in range(20)]):
        jobs.outcome(ref.id, WAIT).unwrap()
    took = time.monotonic() - started
    times = sorted(float(row.split(" ")[2]) for row in (tmp_path / "log").read_text().splitlines() if row[0] == "+")
    assert 2.8 <= took < 8.0, "15 after the first 5, at 5 a second"
    for n in range(5, 20):
        assert times[n] - times[0] > (n - 4) * 0.2 - 0.1, "never faster than the rate"


def test_a_limit_that_goes_lets_go_of_what_it_held(
    jobs: JobQueue, fleet: Fleet, tmp_path: Path, wait_until: Callable[..., Any]
) -> None:
    """J02: parked jobs come back when the limit is removed, and when the one that runs is cancelled."""
    jobs.limit("func", kinds.LONG["inline"].name, Limit(at_once=1))
    for n in range(2):
        fleet.start("default", pool=f"p{n}")
    specs = [
        JobSpec(kind=kinds.LONG["inline"], args={"file": str(tmp_path / "log"), "how": f"n{n}"}, project="default")
        for n in range(3)
    ]
    jobs.enqueue_many(specs)
    wait_until(lambda: [jobs.status(spec.id).status for spec in specs] == ["started", "deferred", "deferred"])
    jobs.cancel(specs[0].id)
    wait_until(lambda: jobs.status(specs[1].id).status == "started", 5)
    assert jobs.status(specs[2].id).status == JobStatus.DEFERRED
    jobs.limit("func", kinds.LONG["inline"].name, None)
    wait_until(lambda: jobs.status(specs[2].id).status == "started", 5)
    for spec in specs:
        jobs.cancel(spec.id)
        assert jobs.outcome(spec.id, 5).status == JobStatus.STOPPED


def test_a_claim_stays_short_however_many_are_over_a_limit(shared: Shared, jobs: JobQueue, tmp_path: Path) -> None:
    """J02: thousands of jobs at their function's limit are set aside in turns, and do not hold up Redis."""
    jobs.limit("func", kinds.NOTE.name, Limit(at_once=1))
    specs = [note(kinds.NOTE, tmp_path / "log", n) for n in range(3000)]
    other = note(kinds.THREAD_NOTE, tmp_path / "log", "other")
    jobs.enqueue_many([*specs, other])
    worker = Claims(shared.redis, "w0", ("default",))
    claimed: list[Claim] = []
    for _ in range(20):
        ticked = worker.tick([], 4 - len(claimed))
        claimed += ticked.claims
        assert shared.redis.zcard("rq:deferred:default") <= 600 * (_ + 1)
        if ticked.come_again_at is None:
            break
    assert [claim.job_id for claim in claimed] == [specs[0].id, other.id]
    ticked = worker.tick([end(claim) for claim in claimed], 4)
    assert [claim.job_id for claim in ticked.claims] == [specs[1].id], "the next in order"


def test_a_paused_queue_starts_nothing(jobs: JobQueue, fleet: Fleet, tmp_path: Path) -> None:
    """J02: with its reason; the others go on; resumed, it goes on at once."""
    fleet.start("default", "low")
    jobs.outcome(jobs.enqueue(note(kinds.NOTE, tmp_path / "log", "first")).id, WAIT).unwrap()
    jobs.pause("default", "the disk is full", by="somebody")
    paused = jobs.controls().pauses["default"]
    assert (paused["reason"], paused["by"]) == ("the disk is full", "somebody")
    held = [jobs.enqueue(note(kinds.NOTE, tmp_path / "log", "held")).id for _ in range(3)]
    jobs.outcome(jobs.enqueue(note(kinds.NOTES[Queue.LOW], tmp_path / "log", "low")).id, WAIT).unwrap()
    assert [jobs.status(job_id).status for job_id in held] == ["queued"] * 3
    jobs.resume("default")
    started = time.monotonic()
    for job_id in held:
        jobs.outcome(job_id, WAIT).unwrap()
    assert time.monotonic() - started < 3.0
    assert jobs.controls().pauses == {}


def test_rqs_suspension_is_kept(shared: Shared, jobs: JobQueue, fleet: Fleet, tmp_path: Path) -> None:
    """J01: `rq suspend` and `rq resume` work on our workers."""
    from rq.suspension import resume, suspend

    fleet.start("default")
    jobs.outcome(jobs.enqueue(note(kinds.NOTE, tmp_path / "log", "first")).id, WAIT).unwrap()
    suspend(shared.redis)
    held = jobs.enqueue(note(kinds.NOTE, tmp_path / "log", "held")).id
    assert jobs.outcome(held, 1.5).status == JobStatus.QUEUED
    resume(shared.redis)
    started = time.monotonic()
    jobs.outcome(held, WAIT).unwrap()
    assert time.monotonic() - started < 10.0
