"""The exception tree. Each class says how it travels: a name, a JSON-RPC code, an HTTP status, worth a retry or not.

LtmcError
├── InvalidCall              the caller's fault; nothing was enqueued
│   ├── MalformedRequest     not JSON, or not a request
│   ├── UnknownMethod        no such tool or method
│   └── InvalidArguments     against the tool's schema; names the field
├── Forbidden                not a direct local caller, and no valid token
│   └── Unauthorized         a token is needed, or this one is wrong
├── NotFound                 no such job, document, …; foreign and expired look the same
├── Conflict                 the thing is no longer in the state that the call needs
├── Unavailable              a part that the call needs is away; try again later
│   ├── QueueUnavailable     Redis is away or refuses writes
│   ├── StoreUnavailable     the records, the index or the graph cannot answer
│   ├── NoModel              no language model is set that could write an answer
│   └── Disabled             switched off by a setting
├── JobFailed                the job ran and failed for a reason of its own
│   ├── JobTimeout           it ran longer than it may
│   ├── JobCancelled         somebody cancelled it
│   └── JobLost              its worker died, or its result is gone
│       └── ChildDied        the process of its own died while it ran
├── EnvelopeRefused          a job that is not signed by this installation, or names nothing declared
├── ModelMismatch            vectors of another model or dimension
└── Misconfigured            a setting or the machine; says which, and the cure
"""

from __future__ import annotations

from typing import Any, ClassVar


class LtmcError(Exception):
    """Something went wrong in a way that the caller may know about."""

    code: ClassVar[str] = "error"
    jsonrpc: ClassVar[int] = -32603
    status: ClassVar[int] = 500
    retry: ClassVar[bool] = False
    retry_seconds: ClassVar[float] = 0.5  # the first pause before a job that fails so runs again; doubled each time

    def __init__(self, message: str = "", **details: Any) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip())
        self.details = details

    def as_dict(self) -> dict[str, Any]:
        """`{code, message, retry, details}`: what may leave the process."""
        shown: dict[str, Any] = {"code": self.code, "message": str(self), "retry": self.retry}
        return shown | ({"details": self.details} if self.details else {})


class InvalidCall(LtmcError):
    """The call is not one we can take."""

    code, jsonrpc, status = "invalid_call", -32600, 400


class MalformedRequest(InvalidCall):
    """The request is not a well-formed one."""

    code = "malformed_request"


class UnknownMethod(InvalidCall):
    """There is no tool or method of this name."""

    code, jsonrpc, status = "unknown_method", -32601, 404


class InvalidArguments(InvalidCall):
    """The arguments do not fit the tool's schema."""

    code, jsonrpc, status = "invalid_arguments", -32602, 422


class Forbidden(LtmcError):
    """This caller may not do that."""

    code, jsonrpc, status = "forbidden", -32001, 403


class Unauthorized(Forbidden):
    """A valid token is needed: send it as `Authorization: Bearer …`."""

    code, status = "unauthorized", 401


class NotFound(LtmcError):
    """There is no such thing, or no longer."""

    code, jsonrpc, status = "not_found", -32002, 404


class Conflict(LtmcError):
    """The thing is not in the state that this call needs, or a key is taken by another call."""

    code, jsonrpc, status = "conflict", -32003, 409


class Unavailable(LtmcError):
    """A part that this call needs is away; try again."""

    code, jsonrpc, status, retry = "unavailable", -32004, 503, True


class QueueUnavailable(Unavailable):
    """The job queue (Redis) cannot be reached or refuses writes."""

    code, retry_seconds = "queue_unavailable", 1.0


class StoreUnavailable(Unavailable):
    """A memory store cannot answer."""

    code = "store_unavailable"


class Disabled(Unavailable):
    """This is switched off by a setting."""

    code, retry = "disabled", False


class NoModel(Unavailable):
    """No language model is set that could write an answer."""

    code, jsonrpc, retry = "no_model", -32009, False


class JobFailed(LtmcError):
    """The job failed."""

    code, jsonrpc, status = "job_failed", -32005, 500


class JobTimeout(JobFailed):
    """The job ran longer than it may."""

    code, status, retry = "job_timeout", 504, True


class JobCancelled(JobFailed):
    """The job was cancelled."""

    code, status = "job_cancelled", 409


class JobLost(JobFailed):
    """The job's worker died, or its result is gone."""

    code, retry = "job_lost", True


class ChildDied(JobLost):
    """The job's own process died while it ran: of a crash in native code, or for want of memory.

    `details`: exit_code (negative: a signal's number), signal, peak_rss_bytes (at least the starter's own size), and
    inside of this process last_lines of its standard error, which may hold anything.
    """

    code = "child_died"

    def as_dict(self) -> dict[str, Any]:
        """Without the last lines."""
        shown = super().as_dict()
        kept = {name: value for name, value in self.details.items() if name != "last_lines"}
        return shown | ({"details": kept} if kept else {})


class EnvelopeRefused(LtmcError):
    """The job is not signed by this installation, or names a function that is not declared."""

    code, jsonrpc, status = "envelope_refused", -32006, 403


class ModelMismatch(LtmcError):
    """The stored vectors come from another embedding model."""

    code, jsonrpc, status = "model_mismatch", -32007, 409


class Misconfigured(LtmcError):
    """A setting, or the machine, does not allow this."""

    code, jsonrpc, status = "misconfigured", -32008, 500


def error_classes() -> dict[str, type[LtmcError]]:
    """Every class of the tree by its code."""
    found: dict[str, type[LtmcError]] = {}
    waiting: list[type[LtmcError]] = [LtmcError]
    while waiting:
        cls = waiting.pop()
        found[cls.code] = cls
        waiting.extend(cls.__subclasses__())
    return found


def from_dict(shown: dict[str, Any]) -> LtmcError:
    """The error that `as_dict` showed; an unknown code becomes a plain JobFailed."""
    cls = error_classes().get(str(shown.get("code")), JobFailed)
    error = cls(str(shown.get("message", "")))
    details = shown.get("details")
    error.details = details if isinstance(details, dict) else {}  # whatever its names are
    return error
