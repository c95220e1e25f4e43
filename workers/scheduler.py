"""The scheduler process: a candidate for leading the schedule, and the probes of the stores beside it."""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress
from typing import Any

import redis
import structlog
from redis import Redis

from ltmc_jobs import keys, logs
from ltmc_jobs.jobs import RECURRING
from ltmc_jobs.keys import INSTALLATION
from ltmc_jobs.queues.clockwork import Clockwork
from ltmc_jobs.queues.contract import JobSpec, Principal
from ltmc_jobs.queues.rq_scheduler import Scheduler
from ltmc_jobs.services import Services
from ltmc_jobs.settings import Settings
from ltmc_jobs.shared import Shared
from workers.probes import Probes
from workers.signals import Signals

LEADERSHIP_MILLISECONDS = 5000
ROUND_SECONDS = 1.0

log = structlog.get_logger("ltmc.scheduler")


def declare_recurring(shared: Shared) -> None:
    """Have what recurs in the schedule; what is there already stays as it is."""
    scheduler = Scheduler(connection=shared.redis, keys=shared.keys)
    for kind, seconds in RECURRING.items():
        spec = JobSpec(
            kind=kind,
            args={},
            project=INSTALLATION,
            id=f"recurring-{kind.name}".replace("_", "-"),
            principal=Principal("scheduler"),
        )
        scheduler.every(seconds, spec, overlap="skip")


class Candidate:
    """Leads when nobody else does; while it leads, it fires what is due."""

    def __init__(self, shared: Shared) -> None:
        self.name = f"scheduler.{socket.gethostname()}.{os.getpid()}.{time.time_ns():x}"
        self._redis: Redis = shared.redis
        self._key = keys.key(INSTALLATION, "leader")
        self._clockwork = Clockwork(shared.redis, shared.keys, shared.metrics)
        self._leads = False

    def turn(self) -> float:
        """One round; seconds until the next."""
        if not self._lead():
            self._leads = False
            return ROUND_SECONDS
        if not self._leads:
            self._leads = True
            log.info("leads the schedule")
            self._clockwork.adopt(self.name)
        return min(ROUND_SECONDS, self._clockwork.fire_due(self.name))

    def leave(self) -> None:
        """Let another one lead at once."""
        if self._leads and self._holder() == self.name:
            self._redis.delete(self._key)

    def _lead(self) -> bool:
        if self._redis.set(self._key, self.name, nx=True, px=LEADERSHIP_MILLISECONDS):
            return True
        if self._holder() != self.name:
            return False
        return bool(self._redis.pexpire(self._key, LEADERSHIP_MILLISECONDS))

    def _holder(self) -> str:
        held: Any = self._redis.get(self._key)
        return held.decode() if held else ""


def run(settings: Settings) -> None:
    """Declare what recurs, then stand by and lead until SIGTERM; Redis may go and come back."""
    logs.configure(settings.log_level, process="scheduler")
    signals = Signals()
    services = Services.open(Shared.open(settings))
    candidate = Candidate(services.shared)
    probes = Probes(services)
    if services.shared.installation.owns_stores():  # elsewhere, a look would make an empty memory and praise it
        probes.start()
    declared = False
    try:
        while not signals.stops:
            seconds = ROUND_SECONDS
            try:
                if not declared:
                    declare_recurring(services.shared)
                    declared = True
                seconds = candidate.turn()
                services.shared.metrics.flush()
            except redis.RedisError as error:
                log.warning("Redis is away", error=str(error))
            signals.wait(seconds)
    finally:
        with suppress(redis.RedisError):
            candidate.leave()
        probes.stop()
        services.close()
