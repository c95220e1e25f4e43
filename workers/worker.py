"""One worker process: RQ's loop without a fork per job, our jobs, a heartbeat beside it."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from contextlib import suppress

import redis
import structlog
from redis import Redis
from rq import SimpleWorker
from rq.serializers import JSONSerializer

from ltmc_jobs import logs
from ltmc_jobs.orchestration.heartbeats import BEAT_SECONDS
from ltmc_jobs.queues.producer import rq_queue
from ltmc_jobs.queues.rq_job import Job
from ltmc_jobs.registry import STORELESS_QUEUES, Queue
from ltmc_jobs.services import Services
from ltmc_jobs.settings import Settings
from ltmc_jobs.shared import Shared
from workers.executor import Executor
from workers.pools import Pool
from workers.recovery import WorkerName, take_back

FLUSH_SECONDS = 1.0

log = structlog.get_logger("ltmc.worker")


def work(settings: Settings, pool: Pool) -> None:
    """Work on a pool's queues until SIGTERM; the running job is finished first."""
    logs.configure(settings.log_level, process=f"worker:{pool.name}")
    shared = Shared.open(settings)
    queues = allowed(pool.queues, shared.installation.owns_stores())
    if not queues:
        log.warning("these queues touch files of another installation; nothing to do here", queues=list(pool.queues))
        return
    services = Services.open(shared)
    executor = Executor(services)
    Job.bind(shared.keys, executor.run, executor.refuse)
    name = str(WorkerName.own(pool.name))
    take_back(shared.redis)
    pulse = Pulse(shared, name, queues)
    pulse.start()
    try:
        loop(shared, name, queues)
    finally:
        pulse.stop()
        services.close()


def allowed(queues: Iterable[Queue], owns_stores: bool) -> list[Queue]:
    """The queues that a process may serve: without the installation's files, only those that touch none."""
    return [queue for queue in queues if owns_stores or queue in STORELESS_QUEUES]


def loop(shared: Shared, name: str, queues: list[Queue], *, burst: bool = False) -> None:
    """RQ's own loop over these queues, the first one first."""
    # A connection of its own: RQ waits for a job far longer than our other answers may take.
    connection = Redis.from_url(shared.settings.redis_address(), socket_timeout=None)
    worker = SimpleWorker(
        [rq_queue(connection, queue) for queue in queues],
        name=name,
        connection=connection,
        job_class=Job,
        serializer=JSONSerializer,
        log_job_description=False,
    )
    worker.log_result_lifespan = False
    try:
        worker.work(burst=burst, logging_level="WARNING")
    finally:
        connection.close()


class Pulse(threading.Thread):
    """Says every few seconds that this process lives, and adds its counts to Redis."""

    def __init__(self, shared: Shared, name: str, queues: list[Queue]) -> None:
        super().__init__(daemon=True, name="pulse")
        self._shared = shared
        self._name = name
        self._queues = queues
        self._stopping = threading.Event()

    def run(self) -> None:
        beats = 0
        while True:
            with suppress(redis.RedisError):  # back when Redis is back
                if beats % int(BEAT_SECONDS / FLUSH_SECONDS) == 0:
                    self._shared.heartbeats.beat(self._name, self._queues)
                self._shared.metrics.flush()
            beats += 1
            if self._stopping.wait(FLUSH_SECONDS):
                return

    def stop(self) -> None:
        self._stopping.set()
        self.join()
        with suppress(redis.RedisError):
            self._shared.metrics.flush()
            self._shared.heartbeats.leave(self._name, self._queues)
