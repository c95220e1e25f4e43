"""tools/call: each call a job, answered with its result or its handle."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import mcp_types as types
from mcp.server import ServerRequestContext
from mcp.shared.exceptions import MCPError
from starlette.requests import Request

from api.call_meta import CallMeta
from api.mcp.answers import answered, failed
from api.requests import request_id, session_of, told
from ltmc_jobs import registry
from ltmc_jobs.answer import Answer
from ltmc_jobs.client import Client, Session
from ltmc_jobs.errors import LtmcError, UnknownMethod
from ltmc_jobs.queues.contract import Principal, new_job_id
from ltmc_jobs.registry import Question, Tool

PROGRESS_SECONDS = 5.0  # hosts give up a call that is silent for 60 s; half of the promised 10 s

Context = ServerRequestContext[Any, Any]


class Calls:
    """Answers tools/call."""

    def __init__(self, client_of: Callable[[], Client], project: str, principal: Principal) -> None:
        self._client_of = client_of
        self._project = project
        self._principal = principal

    async def call(self, ctx: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
        """The tool's result, its job's handle, or an error that a model can read."""
        try:
            found = registry.find(params.name)
        except UnknownMethod as error:
            raise MCPError(types.INVALID_PARAMS, str(error), error.as_dict()) from None
        reference = request_id(ctx.request) if isinstance(ctx.request, Request) else new_job_id()
        try:
            meta = CallMeta.read(ctx.meta)
            session = meta.applied(self._session(ctx, reference))
            return answered(await self._answer(ctx, meta, session, found, params.arguments or {}))
        except Exception as error:  # told() logs it, and says only what may leave
            return failed(told(error, reference))

    async def _answer(
        self, ctx: Context, meta: CallMeta, session: Session, found: Tool | Question, arguments: Any
    ) -> Answer:
        form = found.form
        handling = meta.handling(session, form, arguments)
        job_id = handling.job_id or new_job_id()
        asked = self._client_of().call(
            form.name, arguments, session, wait_seconds=meta.wait_seconds, handling=replace(handling, job_id=job_id)
        )
        followed = job_id if isinstance(found, Tool) else arguments.get("job_id", "")
        telling = asyncio.create_task(self._tell_progress(ctx, session, str(followed)))
        try:
            return await asked
        finally:
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)

    async def _tell_progress(self, ctx: Context, session: Session, job_id: str) -> None:
        """Seconds so far (a number that only grows), with the job's state in words, until cancelled."""
        started = time.monotonic()
        while True:
            await asyncio.sleep(PROGRESS_SECONDS)
            words = "waiting"
            with suppress(LtmcError):
                info = await self._client_of().job(session, job_id)
                progress = info.meta.get("progress") or {}
                words = " ".join(str(part) for part in (info.status.value, progress.get("message")) if part)
            await ctx.session.report_progress(round(time.monotonic() - started, 1), message=words)

    def _session(self, ctx: Context, reference: str) -> Session:
        """From the HTTP request, if there is one."""
        if isinstance(ctx.request, Request):
            return session_of(ctx.request, self._project)
        return Session(self._project, self._principal, reference)
