"""Tasks as 2025-11-25 had them, for the clients that still use them: by middleware, since the SDK knows them no more.

The client asks for a task with each call; tasks/result waits for its end, and meanwhile asks what the job asks.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import Any

import mcp_types as types
from mcp.server.context import CallNext, HandlerResult
from mcp.shared.exceptions import MCPError

from api.call_meta import CallMeta
from api.mcp.asking import Asking
from api.mcp.old_questions import put_and_awaited
from api.mcp.task_states import result_of, status_of, task_of
from api.mcp.wire import Context
from ltmc_jobs import registry
from ltmc_jobs.answer import answer_of
from ltmc_jobs.client import Client
from ltmc_jobs.errors import InvalidArguments, LtmcError, Unavailable
from ltmc_jobs.handling import ttl_in
from ltmc_jobs.queues.contract import JobInfo, Outcome
from ltmc_jobs.queues.wanted import cursor_of
from ltmc_jobs.registry import Tool
from ltmc_jobs.session import Session

VERSION = "2025-11-25"
RELATED = "io.modelcontextprotocol/related-task"
CAPABILITY: dict[str, Any] = {"list": {}, "cancel": {}, "requests": {"tools": {"call": {}}}}
RESULT_SECONDS = 45.0  # of one wait; there is no end to how many
PAGE = 50


class Tasks2025:
    """The middleware."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking
        self._methods = {
            "tasks/get": self._get,
            "tasks/result": self._result,
            "tasks/cancel": self._cancel,
            "tasks/list": self._list,
        }

    async def __call__(self, ctx: Context, call_next: CallNext) -> HandlerResult:
        """Answer what is of tasks, and let everything else pass."""
        if ctx.method == "initialize":
            return _with_capability(await call_next(ctx))
        if ctx.protocol_version != VERSION or ctx.request_id is None:
            return await call_next(ctx)
        params: Any = ctx.params or {}
        try:
            if ctx.method == "tools/call" and isinstance(params.get("task"), dict):
                return await self._call(ctx, params)
            if ctx.method in self._methods:
                return await self._methods[ctx.method](ctx, params)
        except LtmcError as error:
            raise self._asking.refusal(ctx, error) from None
        return await call_next(ctx)

    async def _call(self, ctx: Context, params: Any) -> dict[str, Any]:
        try:
            found = registry.find(str(params.get("name")))
        except LtmcError as error:
            raise MCPError(types.INVALID_PARAMS, str(error), error.as_dict()) from None
        if not isinstance(found, Tool):
            raise MCPError(types.METHOD_NOT_FOUND, f"{found.form.name} answers at once; it cannot be a task")
        session = self._asking.session(ctx)
        arguments = params.get("arguments") or {}
        meta = CallMeta.read(ctx.meta)
        asked = ttl_in(params["task"].get("ttl"), "task.ttl")
        handling = replace(
            meta.handling(session, found.form),
            result_ttl_seconds=meta.ttl_seconds if asked is None else asked,
            makes_job=True,
        )
        client = self._asking.client_of()
        answer = await client.call(found.form.name, arguments, session, wait_seconds=0, handling=handling)
        return {"task": _shown(await client.job(session, str(answer.job_id)))}

    async def _get(self, ctx: Context, params: Any) -> dict[str, Any]:
        return _shown(await self._job(self._asking.session(ctx), params))

    async def _result(self, ctx: Context, params: Any) -> dict[str, Any]:
        session, client = self._asking.session(ctx), self._asking.client_of()
        info = await self._job(session, params)
        put: set[str] = set()
        while not info.status.is_final:
            if client.is_draining:
                raise Unavailable("this server ends; the task goes on: ask for its result again")
            if info.questions and not put >= info.questions.keys():
                put |= info.questions.keys()
                with suppress(LtmcError):  # as below: the task's own error is its result
                    await put_and_awaited(ctx, client, session, answer_of(info.name, Outcome.of(info)))
            elif info.questions:  # this client cannot be asked, or did not answer; job_answer is there
                await _ended(client, info.id)
            else:
                with suppress(LtmcError):
                    await client.result(session, info.id, RESULT_SECONDS)
            info = await self._job(session, params)
        shown = result_of(info).model_dump(by_alias=True, mode="json", exclude_none=True)
        shown.pop("resultType", None)
        shown["_meta"] = shown.get("_meta", {}) | {RELATED: {"taskId": info.id}}
        return shown

    async def _cancel(self, ctx: Context, params: Any) -> dict[str, Any]:
        session = self._asking.session(ctx)
        info = await self._job(session, params)
        if info.status.is_final:
            raise MCPError(types.INVALID_PARAMS, f"task {info.id} has ended: {status_of(info)}")
        await self._asking.client_of().cancel(session, info.id)
        return _shown(await self._job(session, params)) | {"status": "cancelled"}

    async def _list(self, ctx: Context, params: Any) -> dict[str, Any]:
        cursor = params.get("cursor")
        if cursor is not None and not isinstance(cursor, str):
            raise InvalidArguments("cursor: the nextCursor of the page before", field="cursor")
        found = await self._asking.client_of().found(self._asking.session(ctx), limit=PAGE, cursor=cursor)
        shown: dict[str, Any] = {"tasks": [_shown(info) for info in found if _is_call(info)]}
        return shown | ({"nextCursor": cursor_of(found[-1])} if len(found) == PAGE else {})

    async def _job(self, session: Session, params: Any) -> JobInfo:
        job_id = params.get("taskId")
        if not isinstance(job_id, str):
            raise InvalidArguments("taskId: the task's id is required", field="taskId")
        return await self._asking.client_of().job(session, job_id)


async def _ended(client: Client, job_id: str) -> None:
    """Wait for a job's end for so long, or until this process ends."""
    waits = [
        asyncio.ensure_future(client.shared.async_queue.ended(job_id, RESULT_SECONDS)),
        asyncio.ensure_future(client.draining.wait()),
    ]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for one in waits:
            one.cancel()
        await asyncio.gather(*waits, return_exceptions=True)


def _is_call(info: JobInfo) -> bool:
    """Whether it is the job of a call, and not one that follows from it."""
    try:
        return isinstance(registry.find(info.name), Tool)
    except LtmcError:
        return False


def _shown(info: JobInfo) -> dict[str, Any]:
    """The same task in the older words."""
    task = task_of(info)
    return {
        **{name: task[name] for name in ("taskId", "status", "statusMessage", "createdAt", "lastUpdatedAt")},
        "ttl": task["ttlMs"],
        "pollInterval": task["pollIntervalMs"],
    }


def _with_capability(result: HandlerResult) -> HandlerResult:
    if isinstance(result, dict) and result.get("protocolVersion") == VERSION:
        return result | {"capabilities": result["capabilities"] | {"tasks": CAPABILITY}}
    return result
