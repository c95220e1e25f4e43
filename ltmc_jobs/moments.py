"""Moments: points in time as callers write them and as they are kept, ISO 8601 in UTC."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, Field

PATTERN = r"^\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:?\d\d)?)?$"


def in_utc(moment: str) -> str:
    """A moment as it is kept: in UTC with microseconds, so that the order of texts is that of time.

    A date alone is its beginning; what names no zone is in UTC. ValueError for a day or hour that there is not.
    """
    read = datetime.fromisoformat(moment)
    try:
        return (read if read.tzinfo else read.replace(tzinfo=UTC)).astimezone(UTC).isoformat(timespec="microseconds")
    except OverflowError:
        raise ValueError("too near to the beginning or the end of the calendar") from None


Moment = Annotated[
    str,
    Field(pattern=PATTERN, description="ISO 8601, as 2026-05-01 or 2026-05-01T09:30:00Z; without a zone in UTC"),
    AfterValidator(in_utc),
]
