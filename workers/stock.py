"""For RQ's own worker: `rq worker --job-class workers.stock.Job --serializer json --url … default` runs our jobs.

Its environment says, as for our own workers, where the memory is (LTMC_HOME) and where Redis is. The front end does not
know of such a worker, so a call that no worker of ours would serve is answered with its job's handle at once.
"""

from __future__ import annotations

from ltmc_jobs import client
from ltmc_jobs.errors import Misconfigured
from ltmc_jobs.queues import rq_job
from ltmc_jobs.services import Services
from ltmc_jobs.settings import Settings
from ltmc_jobs.shared import Shared
from workers.executor import Executor

__all__ = ["Job", "client"]  # importing the client declares the tools


class Job(rq_job.Job):
    """A job that this process can run, since this module was imported."""


def _bind(settings: Settings) -> None:
    shared = Shared.open(settings)
    if not shared.installation.owns_stores():
        raise Misconfigured(f"{settings.home} is not the memory that the jobs of {settings.redis_shown()} work on")
    shared.redis.connection_pool.disconnect()  # RQ forks for each job, and no connection may cross a fork
    executor = Executor(Services.open(shared))
    Job.bind(shared.keys, executor.run, executor.refuse)


_bind(Settings.load())
