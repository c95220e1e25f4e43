"""tools/call: each call a job, answered with its result, what it asks, a task, or its handle."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import mcp_types as types
from mcp.shared.exceptions import MCPError
from starlette.requests import Request

from api.call_meta import CallMeta
from api.mcp.answers import answered, failed
from api.mcp.asking import Asking
from api.mcp.capabilities import can, require
from api.mcp.departure import on_departure
from api.mcp.inquiries import Inquiries
from api.mcp.old_questions import put_and_awaited
from api.mcp.relay import Relay
from api.mcp.tasks import Tasks
from api.mcp.wire import Context, wants_words
from api.requests import request_id, told
from ltmc_jobs import registry
from ltmc_jobs.answer import Answer
from ltmc_jobs.errors import LtmcError, UnknownMethod
from ltmc_jobs.queues.contract import new_job_id
from ltmc_jobs.registry import Question, Tool
from ltmc_jobs.session import Session


class Calls:
    """Answers tools/call."""

    def __init__(self, asking: Asking, tasks: Tasks) -> None:
        self._asking = asking
        self._tasks = tasks
        self._inquiries = Inquiries(asking)

    async def call(self, ctx: Context, params: types.CallToolRequestParams) -> Any:
        """The tool's result; within a request that declares tasks a task, else a handle, where it takes longer.

        Errors that a model can read are results too; what only the client can mend is an MCPError.
        """
        try:
            found = registry.find(params.name)
        except UnknownMethod as error:
            raise MCPError(types.INVALID_PARAMS, str(error), error.as_dict()) from None
        if isinstance(found, Tool) and found.needs:
            require(ctx, found.needs)
        reference = request_id(ctx.request) if isinstance(ctx.request, Request) else new_job_id()
        try:
            session = self._asking.session(ctx)
            if params.request_state is not None:
                return await self._go_on(ctx, session, found, params)
            return await self._call(ctx, session, found, params.arguments or {})
        except MCPError:
            raise
        except Exception as error:  # told() logs it, and says only what may leave
            return failed(told(error, reference))

    async def _call(self, ctx: Context, session: Session, found: Tool | Question, arguments: dict[str, Any]) -> Any:
        meta = CallMeta.read(ctx.meta)
        handling = meta.handling(session, found.form)
        client = self._asking.client_of()
        wait = meta.wait_seconds
        if wait is None and isinstance(found, Tool) and can(ctx, "tasks"):
            wait = found.grace_seconds

        def ask(heard: Callable[[str], None]) -> Awaitable[Answer]:
            heeded = replace(handling, told=heard)
            return client.call(found.form.name, arguments, session, wait_seconds=wait, handling=heeded)

        followed = await self._waited_for(session, found, arguments) if wants_words(ctx) else ""
        answer = await self._answer(ctx, session, found, ask, followed, keyed=handling.job_id is not None)
        return await self._shown(ctx, session, found, arguments, answer)

    async def _go_on(
        self, ctx: Context, session: Session, found: Tool | Question, params: types.CallToolRequestParams
    ) -> Any:
        """The call again, with what its job asked for."""
        arguments = params.arguments or {}
        job_id = await self._inquiries.answered(ctx, session, found, arguments, str(params.request_state))
        client = self._asking.client_of()
        meta = CallMeta.read(ctx.meta)
        # A client that takes a task has it now: the one thing that it was kept for is said.
        wait = meta.wait_seconds
        if wait is None:
            wait = 0.0 if can(ctx, "tasks") else client.shared.settings.wait_seconds
        answer = await self._answer(
            ctx, session, found, lambda _heard: client.result(session, job_id, wait), job_id, keyed=False
        )
        return await self._shown(ctx, session, found, arguments, answer)

    async def _answer(
        self,
        ctx: Context,
        session: Session,
        found: Tool | Question,
        ask: Callable[[Callable[[str], None]], Awaitable[Answer]],
        followed: str,
        *,
        keyed: bool,
    ) -> Answer:
        """Wait for it, telling the caller meanwhile what the job tells."""
        client = self._asking.client_of()
        job_id = followed
        async with Relay(ctx, client) as relay:

            def heard(started: str) -> None:
                nonlocal job_id
                job_id = started
                relay.follow(started)

            if followed:
                relay.follow(followed, late=True)
            try:
                return await put_and_awaited(ctx, client, session, await ask(heard))
            except asyncio.CancelledError:
                await on_departure(ctx, client, session, found, job_id, keyed=keyed)
                raise

    async def _waited_for(self, session: Session, found: Tool | Question, arguments: dict[str, Any]) -> str:
        """The job that a question waits for, if it is one of the caller's."""
        job_id = arguments.get("job_id") if found.form.name == "job_result" else None
        if not isinstance(job_id, str):
            return ""
        try:
            return (await self._asking.client_of().job(session, job_id)).id
        except LtmcError:
            return ""

    async def _shown(
        self, ctx: Context, session: Session, found: Tool | Question, arguments: dict[str, Any], answer: Answer
    ) -> Any:
        if answer.result is not None or not isinstance(found, Tool):
            return answered(answer)
        if answer.questions is not None:
            asked = await self._inquiries.asked(ctx, session, found, arguments, answer)
            if asked is not None:
                return asked
        if can(ctx, "tasks"):
            return await self._tasks.handle(session, str(answer.job_id))
        return answered(answer)
