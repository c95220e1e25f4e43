"""One run of a claimed job: its call, what it may tell while it runs, and how it ends."""

from __future__ import annotations

import json
import random
import re
import time
import traceback
import zlib
from dataclasses import dataclass, field
from typing import Any, Protocol

from ltmc_jobs.errors import EnvelopeRefused, JobCancelled, JobFailed, JobTimeout, LtmcError, Misconfigured
from ltmc_jobs.inquiry import KEY_PATTERN, InputRequired
from ltmc_jobs.queues.claims import Claim, Ending, Run, as_failure, as_result
from ltmc_jobs.queues.envelope import UNSIGNED, Call, Keyring, unseal, unseal_text
from ltmc_jobs.queues.isolation.isolated import Passing
from ltmc_jobs.queues.producer import PAYLOAD_LIMIT
from workers.tally import Tally

LONGEST_RETRY_SECONDS = 300.0
TRANSIENT = (ConnectionError, TimeoutError)
HEAD, TAIL = b",null,[", b"],{}]"  # around the envelope, in `data` as our producer writes it


class Interruption(BaseException):
    """Raised inside a job to stop it; no `except Exception` swallows it."""


class TimeUp(Interruption):
    """The job's time is over."""


class Cancelled(Interruption):
    """Somebody cancelled the job."""


class Desk(Protocol):
    """Where a run's words go, and the server's time comes from: the courier, or what stands in for it."""

    tally: Tally

    def server_time(self) -> float: ...

    def report(self, execution: Execution, kind: str, text: str) -> None: ...


@dataclass(slots=True, eq=False)
class Execution:
    """A claim being run in this process: the JobContext that its function sees."""

    claim: Claim
    _call: Call | None  # None: refused
    courier: Desk
    begun: float | None = None  # monotonic
    ended: bool = False
    interrupted_at: float | None = None
    reason: type[Interruption] = field(default=TimeUp)

    @property
    def call(self) -> Call:
        """What is run."""
        assert self._call is not None, "a refused job is not run"
        return self._call

    @property
    def job_id(self) -> str:
        return self.claim.job_id

    @property
    def function(self) -> str | None:
        """The name of what was run; None where it has not begun."""
        return None if self.begun is None else self.call.kind.name

    @property
    def attempt(self) -> int:
        return self.claim.attempt

    @property
    def deadline(self) -> float:
        """Monotonic time at which it is stopped; without a limit, never."""
        if self.claim.timeout_seconds <= 0:
            return float("inf")
        return (self.begun or time.monotonic()) + self.claim.timeout_seconds

    def progress(self, done: float, total: float | None = None, message: str = "") -> None:
        """Say how far it is."""
        self.courier.report(self, "progress", json.dumps({"done": done, "total": total, "message": message}))

    def log(self, line: str) -> None:
        """Keep a line with the job."""
        self.courier.report(self, "log", line)

    def cancelled(self) -> bool:
        """Whether somebody asked for its end."""
        return self.interrupted_at is not None and self.reason is Cancelled

    def begin(self) -> None:
        """The function is about to run."""
        self.begun = time.monotonic()
        self.courier.tally.begin(self.claim, self.courier.server_time())

    def done(self, result: Any) -> Run:
        """It ended with a result; what is no JSON is a failure."""
        try:
            payload = as_result(result)
        except (TypeError, ValueError) as error:
            return self.failed(JobFailed(f"the result is not JSON: {error}"))
        return self._run(Ending.DONE, payload)

    def failed(self, error: BaseException) -> Run:
        """It ended with an error; whether it is run again, and when, depends on the error's class."""
        if isinstance(error, Cancelled):
            return self._run(Ending.STOPPED, "", JobCancelled())
        if isinstance(error, InputRequired):
            return self._asks(error)
        told = self._told(error)
        text = as_failure("".join(traceback.format_exception(error)))
        if self._call is None:
            return self._run(Ending.REFUSED, text, told)
        kind = self._call.kind
        passes = isinstance(error, (*TRANSIENT, *kind.retry_on)) or isinstance(error.__cause__, Passing)
        if not (told.retry or passes):
            return self._run(Ending.FINAL, text, told)
        first = told.retry_seconds if kind.retry_seconds is None else kind.retry_seconds
        return self._run(Ending.FAILED, text, told, delay_seconds(first, self.claim.attempt))

    def _asks(self, asked: InputRequired) -> Run:
        """It waits for answers; what is no JSON, or has no such keys, is a failure."""
        try:
            payload = json.dumps({"questions": asked.questions, "first": asked.first}, allow_nan=False)
        except (TypeError, ValueError) as error:
            return self.failed(JobFailed(f"what it asks is not JSON: {error}"))
        if not asked.questions or not all(re.match(KEY_PATTERN, key) for key in asked.questions):
            return self.failed(JobFailed("it asks nothing, or under a key that is not 1 to 64 of A-Z a-z 0-9 _ . -"))
        return self._run(Ending.ASKS, payload)

    def back(self) -> Run:
        """It has not begun, and another may have it."""
        return self._run(Ending.BACK)

    def again(self) -> Run:
        """It began, and is to run again elsewhere."""
        return self._run(Ending.AGAIN)

    def crashed(self, error: LtmcError, words: str) -> Run:
        """Its own process died."""
        return self._run(Ending.CRASHED, as_failure(words), error)

    def _told(self, error: BaseException) -> LtmcError:
        """What callers hear of an error."""
        if isinstance(error, TimeUp):
            return JobTimeout(f"stopped after {self.claim.timeout_seconds} seconds")
        if isinstance(error, Misconfigured):
            # Its words name files and settings of ours: they are for the log.
            return Misconfigured("a worker of this installation is misconfigured; its log and `ltmc doctor` say how")
        if isinstance(error, LtmcError):
            return error
        return JobFailed("the job failed; its id leads to the cause in the workers' log", id=self.job_id)

    def _run(self, ending: Ending, payload: str = "", error: LtmcError | None = None, delay: float = 0.0) -> Run:
        now = self.courier.server_time()
        took = time.monotonic() - self.begun if self.begun is not None else 0.0
        told = json.dumps(error.as_dict()) if error else ""
        return Run(self.job_id, self.claim.execution, ending, payload, told, delay, now - took, now)


def opened(claim: Claim, keys: Keyring) -> Call:
    """The verified call of a claim; EnvelopeRefused for anything that this installation did not sign as it stands."""
    try:
        return _opened(claim, keys)
    except EnvelopeRefused:
        raise
    except Exception as error:  # whatever it is that somebody wrote there, it must stop no worker
        raise EnvelopeRefused(f"the job cannot be read ({type(error).__name__})") from None


def _opened(claim: Claim, keys: Keyring) -> Call:
    if claim.unsigned:
        raise EnvelopeRefused("the job carries RQ callbacks or webhooks, which are not signed")
    data = inflated(claim.data)
    if data.endswith(TAIL) and (
        call := unseal_text(data[data.find(HEAD) + len(HEAD) : -len(TAIL)], claim.job_id, keys)
    ):
        return call
    try:
        # RQ inflates what was deflated; a pickle is neither JSON nor ever opened.
        _, instance, args, kwargs = json.loads(data)
        envelope = args[0]
        ours = instance is None and len(args) == 1 and not kwargs
    except (ValueError, TypeError, KeyError, IndexError):
        ours = False
    if not ours:
        raise EnvelopeRefused(UNSIGNED)
    return unseal(envelope, claim.job_id, keys)


def inflated(data: bytes) -> bytes:
    """RQ's `data`, which stock producers deflate; never more than a payload may be."""
    if data.startswith(b"["):
        return data
    try:
        return zlib.decompressobj().decompress(data, PAYLOAD_LIMIT)
    except zlib.error:
        return data


def delay_seconds(first: float, attempt: int) -> float:
    """The pause before the next attempt: doubled each time, at most five minutes, of which a random half is kept."""
    whole = min(first * 2.0 ** min(attempt - 1, 30), LONGEST_RETRY_SECONDS)
    return whole * random.uniform(0.5, 1.0)  # so that what failed together does not come back together
