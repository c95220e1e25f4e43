"""For RQ's own worker: `rq worker --job-class workers.stock.Job --serializer json --url … default` runs our jobs.

Its environment says, as for our own workers, where the memory is (LTMC_HOME) and where Redis is. It ends jobs as ours
do: the same errors, retries after the same pauses, progress, log lines. Beside no worker of ours, start it with
`--with-scheduler`: a retry waits in RQ's registry of scheduled jobs. The front end does not know of such a worker, so a
call that no worker of ours would serve is answered with its job's handle at once.
"""

from __future__ import annotations

import math
import time
from contextlib import suppress
from typing import Any, ClassVar

import redis
from rq.timeouts import JobTimeoutException

from ltmc_jobs import client, user_tools
from ltmc_jobs.errors import EnvelopeRefused, JobFailed, Misconfigured
from ltmc_jobs.inquiry import InputRequired
from ltmc_jobs.queues.claims import Claim, Claims, Ending, Run, as_result
from ltmc_jobs.queues.contract import JobStatus
from ltmc_jobs.queues.for_rq import job as rq_job
from ltmc_jobs.services import Services
from ltmc_jobs.settings import Settings
from ltmc_jobs.shared import Shared
from workers.execution import Execution, TimeUp, opened
from workers.runner import Runner
from workers.tally import Tally

__all__ = ["Job", "client"]  # importing the client declares the tools

WAITERS = "ltmc_waiters"


class Job(rq_job.Job):
    """A job that this process can run, since this module was imported."""

    shared: ClassVar[Shared]
    runner: ClassVar[Runner]
    _run: Run | None = None

    def _execute(self) -> Any:
        """Open the envelope, run the call, and keep a failure as a typed error beside RQ's traceback."""
        claim = self._claim()
        desk = StockDesk(Claims(self.connection, self.worker_name or "", ()), Tally(self.shared.metrics))
        try:
            call = opened(claim, self.shared.keys)
        except EnvelopeRefused as error:
            self.connection.hincrby(self.key, "ltmc_attempts", -1)
            self.runner.refuse(self.id, error)
            refused = Execution(claim, None, desk)
            self._end(refused, refused.failed(error))
            raise
        execution = Execution(claim, call, desk)
        execution.begin()
        try:
            run = execution.done(result := self.runner.run(call, execution))
        except JobTimeoutException:
            self._end(execution, execution.failed(TimeUp()))
            raise
        except InputRequired:
            failed = JobFailed("it asks for an answer, and RQ's own worker can wait for none; a worker of ours can")
            self._end(execution, execution.failed(failed))
            raise failed from None
        except BaseException as error:
            self._end(execution, execution.failed(error))
            raise
        self._end(execution, run)
        if run.ending != Ending.DONE:
            raise JobFailed("the result is not JSON")
        return result

    def _claim(self) -> Claim:
        runs = self.get_executions()
        return Claim(
            self.id,
            runs[0].id if runs else "",
            self.origin,
            self.data,
            int(self.timeout or 300),
            self.connection.hincrby(self.key, "ltmc_attempts", 1),
            alone=False,
            unsigned=self.has_callbacks,
            claimed_at=time.time(),
            enqueued_at=self.enqueued_at.isoformat().encode() if self.enqueued_at else b"",
            retries_left=self.retries_left or 0,
            crashes=0,
        )

    def _end(self, execution: Execution, run: Run) -> None:
        self._run = run
        execution.courier.tally.send(execution.claim, run, execution.function)
        execution.courier.tally.settle(())
        with suppress(redis.RedisError):
            self.shared.metrics.flush()
        if run.error:
            self.connection.hset(self.key, "ltmc_error", run.error)
        if run.ending == Ending.REFUSED or (run.ending == Ending.FINAL and self.retry_intervals is None):
            self.retries_left = 0

    def get_retry_interval(self) -> int:
        """RQ's own, for a job that has some; else as long as a worker of ours would wait, in whole seconds."""
        if self.retry_intervals is not None or self._run is None:
            return super().get_retry_interval()
        return math.ceil(self._run.delay_seconds)

    def _handle_success(self, result_ttl: Any, pipeline: Any, *args: Any, **kwargs: Any) -> None:
        super()._handle_success(result_ttl, pipeline, *args, **kwargs)
        self._tell(pipeline, JobStatus.FINISHED, as_result(self._result))

    def _handle_failure(self, exc_string: str, pipeline: Any, *args: Any, **kwargs: Any) -> None:
        super()._handle_failure(exc_string, pipeline, *args, **kwargs)
        self._tell(pipeline, JobStatus.FAILED)

    def _tell(self, pipeline: Any, status: JobStatus, payload: str = "") -> None:
        """Those who wait in our processes hear of the end as from a worker of ours."""
        channels: Any = self.connection.hget(self.key, WAITERS)
        for channel in (channels or b"").decode().split():
            pipeline.publish(channel, f"{self.id}\n{status.value}\n{payload}")
        pipeline.hdel(self.key, WAITERS)


class StockDesk:
    """What stands where a worker of ours has its courier: words of a running job go to Redis at once."""

    def __init__(self, claims: Claims, tally: Tally) -> None:
        self._claims = claims
        self.tally = tally

    def server_time(self) -> float:
        """This host's."""
        return time.time()

    def report(self, execution: Execution, kind: str, text: str) -> None:
        """A job tells of itself."""
        self._claims.report([(execution.claim, kind, text)])


def _bind(settings: Settings) -> None:
    user_tools.load(settings)
    shared = Shared.open(settings)
    if not shared.installation.owns_stores():
        raise Misconfigured(f"{settings.home} is not the memory that the jobs of {settings.redis_shown()} work on")
    shared.redis.connection_pool.disconnect()  # RQ forks for each job, and no connection may cross a fork
    Job.shared, Job.runner = shared, Runner(Services.open(shared))


_bind(Settings.load())
