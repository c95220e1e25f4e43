"""The scheduler process: rq-scheduler's loop over signed jobs, and the probes of the stores beside it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from rq_scheduler import Scheduler as RqScheduler

from ltmc_jobs import logs
from ltmc_jobs.jobs import RECURRING
from ltmc_jobs.keys import INSTALLATION
from ltmc_jobs.queues.contract import JobSpec, Principal
from ltmc_jobs.queues.envelope import Keyring, seal
from ltmc_jobs.queues.producer import describe, rq_queue
from ltmc_jobs.queues.rq_job import Job
from ltmc_jobs.services import Services
from ltmc_jobs.settings import Settings
from ltmc_jobs.shared import Shared
from workers.probes import Probes

INTERVAL_SECONDS = 5


class Scheduler(RqScheduler):  # type: ignore[misc]
    """rq-scheduler's API; what it creates is signed JSON, where the original pickles."""

    def __init__(self, connection: Any, keys: Keyring, **options: Any) -> None:
        super().__init__(connection=connection, job_class=Job, interval=INTERVAL_SECONDS, **options)
        self._keys = keys

    def every(self, seconds: int, spec: JobSpec) -> Job:
        """Run a job every so many seconds from now on; the same id again replaces the entry."""
        self.cancel(spec.id)
        job: Job = self.schedule(
            datetime.now(UTC).replace(tzinfo=None),
            spec.kind.path,
            args=[seal(spec, self._keys)],
            interval=seconds,
            queue_name=spec.kind.queue,
            id=spec.id,
            timeout=spec.kind.timeout_seconds,
            description=describe(spec),
            meta={"name": spec.kind.name, "project": spec.project},
        )
        return job

    def get_queue_for_job(self, job: Job) -> Any:
        """Our queue class, which reads JSON."""
        return rq_queue(self.connection, job.origin)


def run(settings: Settings) -> None:
    """Declare what recurs, then schedule until SIGTERM."""
    logs.configure(settings.log_level, process="scheduler")
    services = Services.open(Shared.open(settings))
    scheduler = Scheduler(services.shared.redis, services.shared.keys, name=None)
    for kind, seconds in RECURRING.items():
        spec = JobSpec(
            kind=kind,
            args={},
            project=INSTALLATION,
            id=f"recurring-{kind.name}".replace("_", "-"),
            principal=Principal("scheduler"),
        )
        scheduler.every(seconds, spec)
    probes = Probes(services)
    if services.shared.installation.owns_stores():  # elsewhere, a look would make an empty memory and praise it
        probes.start()
    try:
        scheduler.run()
    finally:
        probes.stop()
        services.close()
