"""The MCP server over the registry's tools, whatever carries it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mcp_types as types
from mcp.server import CacheHint, Server

from api.mcp.calls import Calls, Context
from api.mcp.listing import INSTRUCTIONS, listed
from api.mcp.offering import offering
from ltmc_jobs import __version__, registry
from ltmc_jobs.client import Client
from ltmc_jobs.queues.contract import Principal
from ltmc_jobs.settings import Settings

LIST_TTL_MS = 60_000


def build(client_of: Callable[[], Client], settings: Settings, *, principal: Principal | None = None) -> Server[Any]:
    """The MCP server over the registry's tools; `principal` is who calls where no HTTP request says it."""
    calls = Calls(client_of, settings.project, principal or Principal())
    shown = [listed(form) for form in registry.forms()]
    schemas = {tool.name: tool.input_schema for tool in shown}

    async def list_tools(_ctx: Context, _params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        return types.ListToolsResult(tools=shown)

    server: Server[Any] = Server(
        "ltmc",
        version=__version__,
        title="LTMC long-term memory",
        instructions=INSTRUCTIONS,
        on_list_tools=list_tools,
        on_call_tool=calls.call,
        **offering(client_of, settings.project, principal or Principal()),
        get_tool_input_schema=schemas.get,  # else every call would list all tools to check its headers
        cache_hints={"tools/list": CacheHint(ttl_ms=LIST_TTL_MS, scope="public")},
    )
    server.middleware.clear()  # OpenTelemetry's, a third of a call's cost; our traces travel in the envelope
    return server
