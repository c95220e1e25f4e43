"""What stands behind a prompt or a resource: a job, which may ask something before it gives its result."""

from __future__ import annotations

from typing import Any

import mcp_types as types

from api.mcp.asking import WAIT_SECONDS, Asking, Context
from api.mcp.inquiries import Inquiries
from api.mcp.old_questions import put_and_awaited
from ltmc_jobs import registry
from ltmc_jobs.errors import Unavailable

Params = types.GetPromptRequestParams | types.ReadResourceRequestParams


class Offered:
    """Calls the tool behind an offer."""

    def __init__(self, asking: Asking) -> None:
        self.asking = asking
        self._inquiries = Inquiries(asking)

    async def result(
        self, ctx: Context, tool: str, arguments: dict[str, Any], params: Params
    ) -> dict[str, Any] | types.InputRequiredResult:
        """Its result, or what it asks of a client that can answer. Raises LtmcError."""
        client, session, found = self.asking.client_of(), self.asking.session(ctx), registry.find(tool)
        if params.request_state is None:
            answer = await client.call(tool, arguments, session, wait_seconds=WAIT_SECONDS)
        else:
            job_id = await self._inquiries.answered(ctx, session, found, arguments, params.request_state)
            answer = await client.result(session, job_id, WAIT_SECONDS)
        answer = await put_and_awaited(ctx, client, session, answer)
        if answer.questions is not None:
            asked = await self._inquiries.asked(ctx, session, found, arguments, answer)
            if asked is not None:
                return asked
        if answer.result is None:
            raise Unavailable(f"no answer yet: {answer.reason}", job_id=answer.job_id)
        return answer.result
