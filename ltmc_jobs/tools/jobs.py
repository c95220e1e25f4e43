"""Look after jobs: questions, which the front end answers at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from ltmc_jobs.registry import question

if TYPE_CHECKING:
    from ltmc_jobs.client import Client, Session

JobId = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+$", description="The job's id")]
Status = Literal["queued", "deferred", "scheduled", "started", "finished", "failed", "stopped", "canceled"]


@question()
async def job_status(client: Client, session: Session, job_id: JobId) -> dict[str, Any]:
    """Where a job stands: status, times, attempts, progress, result or error."""
    return (await client.job(session, job_id)).as_dict()


@question()
async def job_result(
    client: Client,
    session: Session,
    job_id: JobId,
    wait_seconds: Annotated[float, Field(ge=0, le=45, description="Wait for its end for at most so long")] = 30,
) -> dict[str, Any]:
    """The result of the call behind a job, as the call would have given it; the handle again if it still runs."""
    return (await client.result(session, job_id, wait_seconds)).as_dict()


@question(changes=True)
async def job_cancel(client: Client, session: Session, job_id: JobId) -> dict[str, Any]:
    """Cancel a job; one that runs is stopped. `cancelled` is true if it will never run, or is being stopped."""
    return await client.cancel(session, job_id)


@question()
async def job_list(
    client: Client,
    session: Session,
    status: Annotated[Status | None, Field(description="Only jobs in this state")] = None,
    queue: Annotated[str | None, Field(max_length=64, description="Only jobs of this queue")] = None,
    limit: Annotated[int, Field(ge=1, le=500, description="How many at most")] = 50,
) -> dict[str, Any]:
    """Jobs of the project, newest first."""
    return await client.jobs(session, status=status, queue=queue, limit=limit)
