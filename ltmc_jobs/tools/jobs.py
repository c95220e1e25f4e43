"""Look after jobs: questions, which the front end answers at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from ltmc_jobs.errors import Conflict, InvalidArguments
from ltmc_jobs.inquiry import response
from ltmc_jobs.registry import question

if TYPE_CHECKING:
    from ltmc_jobs.client import Client
    from ltmc_jobs.session import Session

JobId = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+$", description="The job's id")]
Status = Literal[
    "queued", "deferred", "scheduled", "started", "input_required", "finished", "failed", "stopped", "canceled"
]


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


@question(changes=True)
async def job_answer(
    client: Client,
    session: Session,
    job_id: JobId,
    answers: Annotated[
        dict[str, Any],
        Field(
            min_length=1,
            description="By each question's key {action: accept | decline | cancel, content: {…}}, or the content",
        ),
    ],
) -> dict[str, Any]:
    """Answer what a job asks (status input_required); it goes on when nothing is `left`. Then call job_result."""
    info = await client.job(session, job_id)
    if not info.questions:
        raise Conflict(f"job {job_id} asks nothing; it is {info.shown_status}")
    unknown = sorted(answers.keys() - info.questions.keys())
    if unknown:
        asked = ", ".join(info.questions)
        raise InvalidArguments(
            f"answers: job {job_id} does not ask for {unknown[0]}; it asks for {asked}", field="answers"
        )
    given = {key: response(key, info.questions[key], answer) for key, answer in answers.items()}
    left = await client.answer(session, job_id, given)
    return {"job_id": job_id, "status": (await client.job(session, job_id)).shown_status, "left": left}


@question()
async def job_list(
    client: Client,
    session: Session,
    status: Annotated[Status | None, Field(description="Only jobs in this state")] = None,
    queue: Annotated[str | None, Field(max_length=64, description="Only jobs of this queue")] = None,
    limit: Annotated[int, Field(ge=1, le=500, description="How many at most")] = 50,
    tool: Annotated[str | None, Field(max_length=64, description="Only jobs of this tool")] = None,
    cursor: Annotated[
        str | None, Field(max_length=200, pattern="~", description="The next_cursor of the page before")
    ] = None,
) -> dict[str, Any]:
    """Jobs of the project, newest first."""
    return await client.jobs(session, status=status, tool=tool, queue=queue, limit=limit, cursor=cursor)
