"""Tasks as 2026-07-28 has them, the extension io.modelcontextprotocol/tasks: tasks/get, tasks/update, tasks/cancel."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import Any

import mcp_types as types
from mcp.server import Server
from mcp.shared.exceptions import MCPError
from mcp.shared.inbound import MCP_NAME_HEADER, decode_header_value
from mcp_types.jsonrpc import HEADER_MISMATCH
from starlette.requests import Request

from api.mcp.asking import Asking
from api.mcp.capabilities import TASKS, require
from api.mcp.task_states import status_of, task_of, told_task
from api.mcp.wire import Context, is_modern
from ltmc_jobs.errors import LtmcError
from ltmc_jobs.session import Session

TOO_OFTEN = 4  # who asks so many times more often than told hears again what was found last
REMEMBERED = 1000


class TaskParams(types.RequestParams):
    """Which task."""

    task_id: str


class UpdateParams(TaskParams):
    """Answers to what a task asks, by the keys of its questions."""

    input_responses: dict[str, Any]


class Tasks:
    """Handles tasks; each is a job, and of the same id."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking
        self._found: OrderedDict[tuple[str, str], tuple[float, dict[str, Any]]] = OrderedDict()

    def offer(self, server: Server[Any]) -> None:
        """Have a server offer them."""
        server.extensions[TASKS] = {}
        server.add_request_handler("tasks/get", TaskParams, self.get)
        server.add_request_handler("tasks/update", UpdateParams, self.update)
        server.add_request_handler("tasks/cancel", TaskParams, self.cancel)

    async def handle(self, session: Session, job_id: str) -> dict[str, Any]:
        """What tools/call answers with where the job goes on."""
        info = await self._asking.client_of().job(session, job_id)
        return {"resultType": "task", **task_of(info)}

    async def get(self, ctx: Context, params: TaskParams) -> dict[str, Any]:
        """The task, with its result, its error or what it asks."""
        session = self._admitted(ctx, params.task_id)
        place = (session.project, params.task_id)
        now = time.monotonic()
        if place in self._found and now < self._found[place][0]:
            return self._found[place][1]
        try:
            info = await self._asking.client_of().job(session, params.task_id)
        except LtmcError as error:
            raise self._asking.refusal(ctx, error) from None
        shown = told_task(info)
        self._found[place] = (now + shown["pollIntervalMs"] / 1000 / TOO_OFTEN, shown)
        self._found.move_to_end(place)
        while len(self._found) > REMEMBERED:
            self._found.popitem(last=False)
        if status_of(info) != "working":  # what ends, or asks, may soon be otherwise by the client's own doing
            del self._found[place]
        return shown

    async def update(self, ctx: Context, params: UpdateParams) -> dict[str, Any]:
        """Give answers; those to what is not asked are ignored."""
        session = self._admitted(ctx, params.task_id)
        try:
            await self._asking.client_of().answer(session, params.task_id, params.input_responses)
        except LtmcError as error:
            raise self._asking.refusal(ctx, error) from None
        self._found.pop((session.project, params.task_id), None)
        return {}

    async def cancel(self, ctx: Context, params: TaskParams) -> dict[str, Any]:
        """Stop it, if it has not ended; either way this is acknowledged."""
        session = self._admitted(ctx, params.task_id)
        try:
            await self._asking.client_of().cancel(session, params.task_id)
        except LtmcError as error:
            raise self._asking.refusal(ctx, error) from None
        self._found.pop((session.project, params.task_id), None)
        return {}

    def _admitted(self, ctx: Context, task_id: str) -> Session:
        """On whose behalf; the SDK checks none of this for methods that it does not know."""
        if not is_modern(ctx):
            raise MCPError(types.METHOD_NOT_FOUND, "Method not found", ctx.method)
        require(ctx, ["tasks"])
        if isinstance(ctx.request, Request):
            named = decode_header_value(ctx.request.headers.get(MCP_NAME_HEADER))
            if named != task_id:
                raise MCPError(HEADER_MISMATCH, f"{MCP_NAME_HEADER} header does not match the request body's 'taskId'")
        return self._asking.session(ctx)
