"""All that a server holds of some jobs and workers, read at once, and what must be true of it whatever happened."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from redis import Redis

from ltmc_jobs import keys

STATES = {
    "queue": {"queued"},
    "deferred": {"deferred"},
    "scheduled": {"scheduled"},
    "wip": {"started"},
    "finished": {"finished"},
    "failed": {"failed", "stopped"},
    "canceled": {"canceled"},
}
REGISTRIES = [name for name in STATES if name != "queue"]
ENDED = {"finished", "failed", "stopped", "canceled"}


class Picture:
    """`fields` by job, `lists` by queue, `places` by job (registry, queue), `holders` by job (worker, execution)."""

    def __init__(self, connection: Redis, jobs: Iterable[str], queues: Sequence[str], workers: Sequence[str]) -> None:
        self.jobs = list(jobs)
        self.queues, self.workers = queues, workers
        pipeline = connection.pipeline()
        self._ask(pipeline)
        answers = iter(pipeline.execute())
        self.lists: dict[str, list[str]] = {}
        self.idle: dict[str, set[str]] = {}
        self.places: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
        self.holders: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
        self.wakes: dict[str, int] = {}
        self.shown: dict[str, dict[str, str]] = {}
        self.fields: dict[str, dict[str, str]] = {}
        self.lives: dict[str, int] = {}
        self.results: dict[str, int] = {}
        wip = [member for queue in queues for member in self._read_queue(queue, answers)]
        held = [member for worker in workers for member in self._read_worker(worker, answers)]
        for job in self.jobs:
            self.fields[job] = _named(next(answers))
            self.lives[job], self.results[job] = next(answers), next(answers)
        executions = {f"rq:execution:{member}" for member in wip}
        executions |= {f"rq:executions:{member.partition(':')[0]}" for member in wip}
        assert sorted(held) == sorted(wip), "what is held is what runs, by one worker each"
        assert set(_texts(next(answers))) == executions

    def _ask(self, pipeline: Any) -> None:
        for queue in self.queues:
            pipeline.lrange(f"rq:queue:{queue}", 0, -1)
            for registry in REGISTRIES:
                pipeline.zrange(f"rq:{registry}:{queue}", 0, -1)
            pipeline.smembers(f"{keys.PREFIX}idle:{queue}")
        for worker in self.workers:
            pipeline.smembers(f"{keys.PREFIX}held:{worker}")
            pipeline.llen(f"{keys.PREFIX}wake:{worker}")
            pipeline.hgetall(f"rq:worker:{worker}")
        for job in self.jobs:
            pipeline.hgetall(f"rq:job:{job}")
            pipeline.ttl(f"rq:job:{job}")
            pipeline.xlen(f"rq:results:{job}")
        pipeline.keys("rq:execution*")

    def _read_queue(self, queue: str, answers: Iterator[Any]) -> list[str]:
        """What runs of it."""
        self.lists[queue] = _texts(next(answers))
        for job in self.lists[queue]:
            self.places[job].append(("queue", queue))
        found = {registry: _texts(next(answers)) for registry in REGISTRIES}
        for registry, members in found.items():
            for member in members:
                self.places[member.partition(":")[0]].append((registry, queue))
        self.idle[queue] = set(_texts(next(answers)))
        return found["wip"]

    def _read_worker(self, worker: str, answers: Iterator[Any]) -> list[str]:
        """What it holds."""
        members = _texts(next(answers))
        for member in members:
            job, _, execution = member.partition(":")
            self.holders[job].append((worker, execution))
        self.wakes[worker] = next(answers)
        self.shown[worker] = _named(next(answers))
        return members

    def check(self) -> None:
        """Every job is in exactly one place, that which its state names, and lives as long as it should."""
        for job in self.jobs:
            places, status = self.places[job], self.fields[job]["status"]
            assert len(places) == 1, f"{job} is {status} and in {places}"
            assert status in STATES[places[0][0]], f"{job} is {status} and in {places}"
            asks = "ltmc_questions" in self.fields[job]
            assert (self.lives[job] > 0) == (status in ENDED or asks), f"{job}, {status}, lives {self.lives[job]} s"
            assert len(self.holders[job]) == (status == "started")
        assert set(self.places) <= set(self.jobs)

    def status(self, job: str) -> str:
        """As its hash has it."""
        return self.fields[job]["status"]


def _texts(values: Any) -> list[str]:
    return [value.decode() for value in values]


def _named(values: Any) -> dict[str, str]:
    return {name.decode(): value.decode(errors="replace") for name, value in values.items()}
