"""What MCP asks of the platform beside tools/call: a job each, whose result is waited for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mcp_types as types
from mcp.server import ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from starlette.requests import Request

from api.call_meta import CallMeta
from api.requests import request_id, session_of, told
from ltmc_jobs.client import Client
from ltmc_jobs.errors import InvalidArguments, LtmcError, NotFound, Unavailable
from ltmc_jobs.queues.contract import Principal, new_job_id
from ltmc_jobs.session import Session

WAIT_SECONDS = 45.0
OLD_NOT_FOUND = -32002  # a resource's, before 2026-07-28

Context = ServerRequestContext[Any, Any]


class Asking:
    """Calls a tool for a request, in the caller's project and name; its errors are the protocol's."""

    def __init__(self, client_of: Callable[[], Client], project: str, principal: Principal) -> None:
        self.client_of = client_of
        self._project = project
        self._principal = principal

    def session(self, ctx: Context) -> Session:
        """On whose behalf: the HTTP request says it, else whoever runs this process; `_meta` goes before both."""
        if isinstance(ctx.request, Request):
            session = session_of(ctx.request, self._project)
        else:
            session = Session(self._project, self._principal, new_job_id())
        return CallMeta.read(ctx.meta).applied(session)

    async def result(self, ctx: Context, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """The result of a tool. Raises LtmcError; Unavailable when it did not end in time."""
        answer = await self.client_of().call(tool, arguments, self.session(ctx), wait_seconds=WAIT_SECONDS)
        if answer.result is None:
            raise Unavailable(f"no answer yet: {answer.reason}", job_id=answer.job_id)
        return answer.result

    def refusal(self, ctx: Context, error: Exception, **data: Any) -> MCPError:
        """An error as the protocol tells it, with what may leave; the log has the rest under its id."""
        reference = request_id(ctx.request) if isinstance(ctx.request, Request) else new_job_id()
        shown = told(error, reference)
        if isinstance(error, InvalidArguments):
            code = types.INVALID_PARAMS
        elif isinstance(error, NotFound):
            is_old = "uri" in data and ctx.protocol_version not in MODERN_PROTOCOL_VERSIONS
            code = OLD_NOT_FOUND if is_old else types.INVALID_PARAMS
        else:
            code = error.jsonrpc if isinstance(error, LtmcError) else types.INTERNAL_ERROR
        return MCPError(code, shown["message"], shown | data)
