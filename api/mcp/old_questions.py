"""What a job asks, put to a client before 2026-07-28 as a request of the server's: elicitation, sampling, roots."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from contextlib import suppress
from typing import Any

import mcp_types as types
from mcp.shared.exceptions import MCPError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from starlette.requests import Request

from api.mcp.asking import Context
from api.mcp.capabilities import can
from api.mcp.old_sessions import STREAM, asking, give
from api.mcp.stream import Stream
from ltmc_jobs.answer import Answer
from ltmc_jobs.client import Client
from ltmc_jobs.errors import LtmcError
from ltmc_jobs.session import Session

ASK_SECONDS = 300.0  # for all of a call's questions: there is a person at the other end
REQUESTS: dict[str, tuple[type[Any], type[Any]]] = {
    "elicitation/create": (types.ElicitRequest, types.ElicitResult),
    "sampling/createMessage": (types.CreateMessageRequest, types.CreateMessageResult),
    "roots/list": (types.ListRootsRequest, types.ListRootsResult),
}


async def put_and_awaited(ctx: Context, client: Client, session: Session, answer: Answer) -> Answer:
    """The answer to a call when its client was asked all that its job asks; as it was, where it cannot be asked."""
    until = time.monotonic() + ASK_SECONDS
    put: set[str] = set()
    while answer.questions and answer.job_id and ctx.protocol_version not in MODERN_PROTOCOL_VERSIONS:
        new = {key: question for key, question in answer.questions.items() if key not in put}
        if not new or not all(_can(ctx, question) for question in new.values()):
            break
        put |= new.keys()
        if not await _answered(ctx, client, session, answer.job_id, new, until):
            break
        answer = await client.result(session, answer.job_id, max(0.0, until - time.monotonic()))
    return answer


async def _answered(
    ctx: Context, client: Client, session: Session, job_id: str, questions: dict[str, Any], until: float
) -> bool:
    """Put the questions; whether the job has all its answers, or has ended."""
    heard = asyncio.Event()

    def hear(word: str, _told: str) -> None:
        if word not in ("progress", "log", "asks"):
            heard.set()

    queue = client.shared.async_queue
    with queue.hearing(job_id, hear):
        await queue.watch(job_id)
        ways = [_put(ctx, client, session, job_id, key, question) for key, question in questions.items()]
        asked = asyncio.gather(*ways)
        try:
            async with asyncio.timeout_at(asyncio.get_running_loop().time() + max(0.0, until - time.monotonic())):
                if not all(await asked):
                    return False
                await heard.wait()
        except TimeoutError:
            return False
        return True


def _put(
    ctx: Context, client: Client, session: Session, job_id: str, key: str, question: dict[str, Any]
) -> Awaitable[bool]:
    """Over HTTP the reply comes in a POST of its own; else the connection brings it back."""
    if isinstance(ctx.request, Request):
        stream: Stream = ctx.request.scope[STREAM]
        return stream.put(question["method"], question.get("params", {}), asking(session, job_id, key))
    return _ask(ctx, client, session, job_id, key, question)


async def _ask(ctx: Context, client: Client, session: Session, job_id: str, key: str, question: dict[str, Any]) -> bool:
    request, result = REQUESTS[question["method"]]
    try:
        told = await ctx.session.send_request(request.model_validate(question), result)
        said = {"result": told.model_dump(by_alias=True, mode="json", exclude_none=True)}
    except MCPError as error:
        said = {"error": {"code": error.code, "message": str(error)}}
    with suppress(LtmcError):  # it has ended meanwhile, or takes no such answer
        await give(client, session, job_id, key, said)
        return True
    return False


def _can(ctx: Context, question: dict[str, Any]) -> bool:
    """Whether there is a way to ask this, and the client said that it can answer."""
    method = str(question.get("method"))
    is_way = not isinstance(ctx.request, Request) or STREAM in ctx.request.scope
    return is_way and method in REQUESTS and can(ctx, method.partition("/")[0])
