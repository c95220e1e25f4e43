"""What a job asks, within the very call (2026-07-28): the call ends with the questions, and comes again with answers.

The state that travels between is the job's id, signed together with the call, so that no other call can take it up.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import mcp_types as types
from mcp.shared.exceptions import MCPError

from api.mcp.asking import Asking
from api.mcp.capabilities import can, require
from api.mcp.wire import Context, is_modern
from ltmc_jobs.answer import Answer
from ltmc_jobs.errors import LtmcError
from ltmc_jobs.registry import Question, Tool
from ltmc_jobs.session import Session


class Inquiries:
    """Gives a job's questions to the client, and the client's answers to the job."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking

    async def asked(
        self, ctx: Context, session: Session, found: Tool | Question, arguments: dict[str, Any], answer: Answer
    ) -> types.InputRequiredResult | None:
        """What the job asks, as far as the client can answer it; None where it is to be asked otherwise.

        MCPError -32021 where nobody could: then the job is cancelled. A form may also be answered by the model.
        """
        if answer.questions is None or not is_modern(ctx):
            return None
        if can(ctx, "tasks") and not answer.asks_first:
            return None
        answerable = {key: asked for key, asked in answer.questions.items() if can(ctx, capability_of(asked))}
        if answerable:
            state = self._state(session, found, arguments, str(answer.job_id), round_of(answer.questions))
            return types.InputRequiredResult.model_validate({"inputRequests": answerable, "requestState": state})
        needed = {capability_of(asked) for asked in answer.questions.values()} - {"elicitation"}
        if needed:
            await self._asking.client_of().cancel(session, str(answer.job_id))
            require(ctx, sorted(needed))
        return None

    async def answered(
        self, ctx: Context, session: Session, found: Tool | Question, arguments: dict[str, Any], state: str
    ) -> str:
        """The id of the job that this state is of, which has been given the answers in the request."""
        job_id, _, rest = state.partition(".")
        asked, _, signature = rest.partition(".")
        told = _told(session, found, arguments, job_id, asked)
        if not self._asking.client_of().shared.keys.verifies(told, signature):
            raise MCPError(types.INVALID_PARAMS, "requestState is not one that was given for this call")
        given = (ctx.params or {}).get("inputResponses") or {}
        try:
            await self._asking.client_of().answer(session, job_id, given)
        except LtmcError as error:
            raise self._asking.refusal(ctx, error) from None
        return job_id

    def _state(
        self, session: Session, found: Tool | Question, arguments: dict[str, Any], job_id: str, asked: str
    ) -> str:
        told = _told(session, found, arguments, job_id, asked)
        return f"{job_id}.{asked}.{self._asking.client_of().shared.keys.sign(told)}"


def _told(session: Session, found: Tool | Question, arguments: dict[str, Any], job_id: str, asked: str) -> bytes:
    """What the signature of a state is of: the call, the job, and what that asked."""
    return json.dumps([session.project, found.form.name, arguments, job_id, asked], sort_keys=True).encode()


def capability_of(question: dict[str, Any]) -> str:
    """What a client must have declared to be asked this: elicitation, sampling, roots."""
    return str(question.get("method")).partition("/")[0]


def round_of(questions: dict[str, Any]) -> str:
    """What tells one round of questions from the next."""
    return hashlib.sha256(" ".join(sorted(questions)).encode()).hexdigest()[:16]
