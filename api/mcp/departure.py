"""A client that goes away while it is waited for: what becomes of its job."""

from __future__ import annotations

import anyio
import structlog

from api.mcp.wire import Context, is_http, is_modern
from ltmc_jobs.client import Client
from ltmc_jobs.errors import LtmcError
from ltmc_jobs.registry import Question, Tool
from ltmc_jobs.session import Session

CANCEL_SECONDS = 2.0

log = structlog.get_logger("ltmc.mcp")


async def on_departure(
    ctx: Context, client: Client, session: Session, found: Tool | Question, job_id: str, *, keyed: bool
) -> None:
    """Cancel a job that only reads: nobody will hear what it finds. Called as the handler is being cancelled.

    It goes on if it changes something; while this process ends, which is no wish of the client's; for an old client
    over HTTP, whose broken connection means nothing; and over HTTP under an idempotency key, by which the client said
    that it may come again for the same job.
    """
    means_nothing = is_http(ctx) and (keyed or not is_modern(ctx))
    if not (job_id and isinstance(found, Tool) and found.form.reads_only) or means_nothing or client.is_draining:
        return
    with anyio.move_on_after(CANCEL_SECONDS, shield=True):
        try:
            await client.abandon(session, job_id)
        except LtmcError as error:
            log.info("an abandoned job was not cancelled", job_id=job_id, code=error.code)
