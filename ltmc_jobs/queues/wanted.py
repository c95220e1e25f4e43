"""Which jobs a list is to have, and in what order: newest first, a page at a time."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass

from ltmc_jobs.errors import InvalidArguments
from ltmc_jobs.queues.contract import INPUT_REQUIRED, JobInfo, JobStatus

BETWEEN = "~"  # in a cursor; no id has it


@dataclass(frozen=True, slots=True)
class Wanted:
    """Each part None for all; `status` may be `input_required`; `cursor` is the last page's last job."""

    project: str | None = None
    status: str | None = None
    tool: str | None = None
    queue: str | None = None
    limit: int = 50
    cursor: str | None = None

    @property
    def states(self) -> list[JobStatus]:
        """The states in which such jobs are."""
        if self.status is None:
            return list(JobStatus)
        return [JobStatus.DEFERRED if self.status == INPUT_REQUIRED else JobStatus(self.status)]

    @property
    def before(self) -> tuple[str, str] | None:
        """The moment and the id that those wanted are older than; InvalidArguments for what is no cursor."""
        if self.cursor is None:
            return None
        moment, found, job_id = self.cursor.partition(BETWEEN)
        if not found:
            raise InvalidArguments("cursor: the next_cursor of another list", field="cursor")
        return moment, job_id

    def has(self, info: JobInfo) -> bool:
        """Whether a job is wanted, whatever its project and queue."""
        known = self.status is None or info.shown_status == self.status
        older = self.before is None or place_of(info) < self.before
        return known and older and self.tool in (None, info.name)


def place_of(info: JobInfo) -> tuple[str, str]:
    """What jobs are ordered by."""
    return info.created_at or "", info.id


def cursor_of(info: JobInfo) -> str:
    """Where the page after this job begins."""
    return BETWEEN.join(place_of(info))


def newest(found: Iterable[JobInfo], limit: int) -> list[JobInfo]:
    """So many, newest first."""
    return heapq.nlargest(limit, found, key=place_of)
