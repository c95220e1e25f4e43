"""RQ's job with our rules: a signed envelope is opened before anything runs, and only a declared function does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, ClassVar

from rq.exceptions import DeserializationError
from rq.job import Job as RqJob
from rq.job import JobStatus as RqStatus
from rq.serializers import JSONSerializer
from rq.timeouts import JobTimeoutException

from ltmc_jobs.errors import EnvelopeRefused, JobFailed, JobTimeout, LtmcError, Misconfigured
from ltmc_jobs.queues.envelope import Call, Keyring, unseal

LOG_LINES = 200
ATTEMPTS = "ltmc_attempts"  # a field of ours in RQ's job hash, which RQ leaves alone


class Job(RqJob):
    """A job whose one argument is its envelope. `bind` says who opens and who runs it in this process."""

    _keys: ClassVar[Keyring | None] = None
    _run: ClassVar[Callable[[Call, RunningJob], Any] | None] = None
    _refuse: ClassVar[Callable[[str, LtmcError], None] | None] = None

    @classmethod
    def bind(
        cls,
        keys: Keyring,
        run: Callable[[Call, RunningJob], Any],
        refuse: Callable[[str, LtmcError], None],
    ) -> None:
        """Make this process able to run jobs: `run(call, context)` gives the result, `refuse` is told of forgeries."""
        cls._keys, cls._run, cls._refuse = keys, run, refuse

    def __init__(self, id: str | None = None, connection: Any = None, serializer: Any = None) -> None:
        super().__init__(id, connection, serializer or JSONSerializer)

    def _execute(self) -> Any:
        """Open the envelope, run the call, and keep a failure as a typed error beside RQ's traceback."""
        cls = type(self)
        if cls._keys is None or cls._run is None:
            raise EnvelopeRefused("this process was not set up to run jobs; start workers with ./start_workers.sh")
        try:
            call = self._open(cls._keys)
            return cls._run(call, RunningJob(self, attempt=self.connection.hincrby(self.key, ATTEMPTS, 1)))
        except JobTimeoutException:
            self._keep(JobTimeout(f"stopped after {self.timeout} seconds"))
            raise
        except Misconfigured:
            # Its words name files and settings of ours: they are for the log.
            self._keep(
                Misconfigured("a worker of this installation is misconfigured; its log and `ltmc doctor` say how")
            )
            raise
        except LtmcError as error:
            if isinstance(error, EnvelopeRefused) and cls._refuse is not None:
                cls._refuse(self.id, error)
            self._keep(error)
            raise
        except Exception:
            self._keep(JobFailed("the job failed; its id leads to the cause in the workers' log", id=self.id))
            raise

    def _deserialize_data(self) -> None:
        # RQ asks for the function's name before it runs anything: a payload that is no JSON must get as far as _open.
        try:
            super()._deserialize_data()  # type: ignore[no-untyped-call]
        except DeserializationError:
            self._func_name, self._instance, self._args, self._kwargs = "unreadable", None, (), {}

    def _open(self, keys: Keyring) -> Call:
        if self.has_callbacks:
            raise EnvelopeRefused("the job carries RQ callbacks or webhooks, which are not signed")
        if len(self.args) != 1 or self.kwargs:
            raise EnvelopeRefused("the job carries no signed envelope; enqueue it through this platform")
        return unseal(self.args[0], self.id, keys)

    @property
    def has_callbacks(self) -> bool:
        names = (self._success_callback_name, self._failure_callback_name, self._stopped_callback_name)
        return bool(self.webhooks) or any(isinstance(name, str) and name for name in names)

    def _keep(self, error: LtmcError) -> None:
        self.meta["error"] = error.as_dict()
        self.save_meta()  # type: ignore[no-untyped-call]
        if not error.retry:
            self.retries_left = 0

    def execute_failure_callback(self, *args: Any) -> None:
        """None: callbacks are not signed."""

    def execute_success_callback(self, *args: Any) -> None:
        """None: callbacks are not signed."""

    def send_webhooks(self, *args: Any, **kwargs: Any) -> None:
        """None: RQ's own webhooks are not signed; ours are jobs."""


class RunningJob:
    """The JobContext of a job that RQ runs in this process."""

    def __init__(self, job: Job, attempt: int) -> None:
        self._job = job
        self.attempt = attempt
        self.deadline = time.monotonic() + float(job.timeout or 300)

    @property
    def job_id(self) -> str:
        return self._job.id

    def progress(self, done: float, total: float | None = None, message: str = "") -> None:
        self._job.meta["progress"] = {"done": done, "total": total, "message": message}
        self._job.save_meta()  # type: ignore[no-untyped-call]

    def log(self, line: str) -> None:
        self._job.meta["log"] = [*self._job.meta.get("log", []), line][-LOG_LINES:]
        self._job.save_meta()  # type: ignore[no-untyped-call]

    def cancelled(self) -> bool:
        return bool(self._job.get_status() in (RqStatus.CANCELED, RqStatus.STOPPED))
