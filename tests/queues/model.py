"""What the queue's scripts should do, in Python: a model of jobs, queues and holds."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field

from ltmc_jobs.queues import claims as holds
from ltmc_jobs.queues.claims import Claim, Ending
from tests.queues.picture import Picture

QUEUES = ("default", "low")
ASKED = ("colour", "size")  # what a job asks for, when it does
WORKERS = {"w0": ("default", "low"), "w1": ("low", "default"), "w2": ("default",)}


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
    asks: set[str] = field(default_factory=set)


class Model:
    """Three workers on two queues."""

    def clear(self) -> None:
        """No job, and nothing held."""
        self.jobs: dict[str, Job] = {}
        self.order: list[str] = []
        self.waiting: dict[str, list[str]] = {queue: [] for queue in QUEUES}
        self.paused: set[str] = set()
        self.held: dict[str, list[Claim]] = {name: [] for name in WORKERS}
        self.has_room: dict[str, bool] = dict.fromkeys(WORKERS, False)
        self.told: Counter[str] = Counter()

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
            self.crash(job)
        elif ending == Ending.ASKS:
            job.attempts -= 1
            job.status, job.asks = "deferred", set(ASKED)
            self.told[job.id] += job.watched  # and whoever waits goes on
        else:
            job.attempts -= ending == Ending.BACK
            self.push(job, front=True)
        return True

    def crash(self, job: Job) -> None:
        job.crashes += 1
        if job.crashes >= holds.CRASH_LIMIT:
            self.finish(job, "failed")
        else:
            self.push(job)

    def finish(self, job: Job, status: str) -> None:
        job.status = status
        job.cancelled = job.cancelled and status == "finished"
        job.results += 1
        self.tell(job)
        for child in [self.jobs[name] for name in job.children]:
            if child.status == "deferred" and not child.asks and self.is_free(child):
                self.push(child)

    def answer(self, job: Job, given: set[str]) -> None:
        """With the last answer it goes on."""
        if job.asks and not (job.asks - given):
            self.push(job)
            self.told[job.id] += job.watched
        job.asks -= given

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

    def check(self, picture: Picture) -> None:
        """The server's picture of each job is the model's, and nobody sleeps beside work."""
        assert picture.lists == self.waiting
        for job in self.jobs.values():
            fields = picture.fields[job.id]
            assert fields["status"] == job.status
            assert int(fields.get("ltmc_attempts", 0)) == job.attempts
            assert int(fields.get("retries_left", 0)) == job.left
            assert picture.results[job.id] == min(job.results, 10)
            assert picture.holders[job.id] == ([job.holder] if job.holder else [])
            assert ("ltmc_waiters" in fields) == job.watched
            assert set(json.loads(fields.get("ltmc_questions", "{}")).get("questions", ())) == job.asks
        self._nobody_sleeps_beside_work(picture)

    def _nobody_sleeps_beside_work(self, picture: Picture) -> None:
        """Who has room is woken when work comes: it is on the list of each of its queues, or has been called."""
        for worker, queues in WORKERS.items():
            if self.has_room[worker] and not picture.wakes[worker]:
                assert all(worker in picture.idle[queue] for queue in queues)
        for queue in set(QUEUES) - self.paused:
            called = any(picture.wakes[worker] for worker in WORKERS)
            assert not picture.lists[queue] or not picture.idle[queue] or called


def _place(claim: Claim) -> tuple[int, int]:
    _, tick, place = claim.execution.rsplit("-", 2)
    return int(tick), int(place)
