"""The scheduler process: a candidate for leading the schedule, and the probes of the stores beside it."""

from __future__ import annotations

from contextlib import suppress

import redis
import structlog

from ltmc_jobs import keys, logs
from ltmc_jobs.jobs import RECURRING
from ltmc_jobs.keys import INSTALLATION
from ltmc_jobs.queues.claims import lead
from ltmc_jobs.queues.contract import JobSpec, Principal
from ltmc_jobs.queues.for_rq.scheduler import Scheduler
from ltmc_jobs.queues.schedules.clockwork import Clockwork
from ltmc_jobs.services import Services
from ltmc_jobs.settings import Settings
from ltmc_jobs.shared import Shared
from workers.clock import Clock
from workers.leader import Leader
from workers.probes import Probes
from workers.recovery import WorkerName, journals
from workers.signals import Signals

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
    """Leads when nobody else does, as any worker may; while it leads, it does all that a leader does."""

    def __init__(self, settings: Settings, shared: Shared) -> None:
        self._name = str(WorkerName.own("scheduler"))
        self._redis = shared.redis
        self._key = keys.key(INSTALLATION, "leader")
        self._clock = Clock(Clockwork(shared.redis, shared.keys, shared.metrics), self._name)
        self._errands = (Leader(shared.redis, self._name, journals(settings)), self._clock)

    def turn(self) -> None:
        """One round, about once a second."""
        leads = lead(self._redis, self._name)
        for errand in self._errands:
            errand(leads)

    def leave(self) -> None:
        """Let another one lead at once."""
        self._clock(False)
        if lead(self._redis, self._name):
            self._redis.delete(self._key)


def run(settings: Settings) -> None:
    """Declare what recurs, then stand by to lead until SIGTERM; Redis may go and come back."""
    logs.configure(settings.log_level, process="scheduler")
    signals = Signals()
    services = Services.open(Shared.open(settings))
    shared = services.shared
    candidate = Candidate(settings, shared)
    probes = Probes(services)
    if shared.installation.owns_stores():  # elsewhere, a look would make an empty memory and praise it
        probes.start()
    declared = False
    try:
        while not signals.stops:
            try:
                if not declared:
                    declare_recurring(shared)
                    declared = True
                candidate.turn()
                shared.metrics.flush()
            except redis.RedisError as error:
                log.warning("Redis is away", error=str(error))
            signals.wait(ROUND_SECONDS)
    finally:
        with suppress(redis.RedisError):
            candidate.leave()
        probes.stop()
        services.close()
