"""A server whose leader the test is, and what can be seen of its schedule."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from redis import Redis

from ltmc_jobs import keys as names
from ltmc_jobs.metrics import Metrics
from ltmc_jobs.queues.contract import JobSpec
from ltmc_jobs.queues.envelope import Keyring
from ltmc_jobs.queues.for_rq.scheduler import Scheduler
from ltmc_jobs.queues.schedules.clockwork import Clockwork
from ltmc_jobs.queues.schedules.schedule import ENTRIES
from tests import queue_kinds as kinds

KEYS = Keyring([b"k" * 32])
LEADER = names.key(names.INSTALLATION, "leader")


class Stage:
    """A server whose leader we are, and what can be seen of its schedule."""

    def __init__(self, connection: Redis) -> None:
        self.redis = connection
        self.metrics = Metrics(connection)
        self.clockwork = Clockwork(connection, KEYS, self.metrics)
        self.scheduler = Scheduler(connection=connection, keys=KEYS)
        self.lead("us")

    def lead(self, token: str) -> None:
        self.redis.set(LEADER, token, ex=60)

    def now(self) -> int:
        seconds: Any = self.redis.time()
        return int(seconds[0])

    def declare(self, **more: Any) -> str:
        """A schedule of an echo job; its id."""
        job_id = str(more.pop("id", "echoes"))
        spec = JobSpec(kind=kinds.ECHO, args={"x": 1}, project="default", id=job_id)
        policy: dict[str, Any] = {"interval_seconds": 10} | more
        return str(self.scheduler.declare(spec, **policy).id)

    def make_due(self, job_id: str, at: float) -> None:
        self.scheduler.change_execution_time(job_id, datetime.fromtimestamp(at, UTC))

    def fire(self, token: str = "us", rounds: int = 20) -> None:
        """All that is due."""
        for _ in range(rounds):
            if self.clockwork.fire_due(token) > 0:
                return

    def queued(self, queue: str = "default") -> list[str]:
        found: Any = self.redis.lrange(f"rq:queue:{queue}", 0, -1)
        return [name.decode() for name in found]

    def field(self, job_id: str, name: str) -> str:
        value: Any = self.redis.hget(f"rq:job:{job_id}", name)
        return (value or b"").decode()

    def meta(self, job_id: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.field(job_id, "meta"))
        return found

    def next(self, job_id: str) -> float | None:
        found: Any = self.redis.zscore(ENTRIES, job_id)
        return float(found) if found is not None else None

    def outcomes(self) -> dict[str, float]:
        self.metrics.flush()
        stored: Any = self.redis.hgetall(names.key(names.INSTALLATION, "metrics", "ltmc_schedule_runs_total"))
        return {json.loads(field)[0]: float(value) for field, value in stored.items()}
