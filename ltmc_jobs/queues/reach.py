"""The one way to say that Redis is away, or refuses what it was asked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import redis

from ltmc_jobs.errors import QueueUnavailable

REFUSALS = {
    "OOM": "refuses writes: its memory is full (maxmemory)",
    "MISCONF": "refuses writes: it cannot write to its disk, which may be full",
    "READONLY": "refuses writes: it is a replica",
    "NOREPLICAS": "refuses writes: too few of its replicas answer",
    "LOADING": "is still loading its data",
    "BUSY": "is busy with a script",
}
# In a pipeline, the client puts words of its own before the server's.
CODE = re.compile(r"(?:^|caused error: )([A-Z]+) ")


@contextmanager
def reaching() -> Iterator[None]:
    """Within, the server's absence or refusal becomes QueueUnavailable."""
    try:
        yield
    except redis.RedisError as error:
        reason = refusal(error)
        if reason is None:
            raise
        raise QueueUnavailable(f"the job queue (Redis) {reason}; it is tried again on the next call") from None


def refusal(error: redis.RedisError) -> str | None:
    """What the server does, in words, if the error is the server's state and not our mistake."""
    code = CODE.search(str(error))
    # The client takes the code off the message where it has a class for it.
    told = getattr(error, "status_code", None) or (code.group(1) if code else "")
    if told in REFUSALS:
        return REFUSALS[told]
    if isinstance(error, redis.OutOfMemoryError):
        return REFUSALS["OOM"]
    if isinstance(error, redis.ReadOnlyError):
        return REFUSALS["READONLY"]
    return "cannot be reached" if isinstance(error, (redis.ConnectionError, redis.TimeoutError)) else None
