"""The MCP server over the registry's tools, whatever carries it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import mcp_types as types
from mcp.server import CacheHint, Server

from api.mcp.asking import Asking
from api.mcp.calls import Calls
from api.mcp.listening import Listening
from api.mcp.listing import INSTRUCTIONS, as_2025, listed
from api.mcp.offering import offering
from api.mcp.old_subscriptions import OldSubscriptions
from api.mcp.tasks import Tasks
from api.mcp.tasks_2025 import Tasks2025
from api.mcp.watching import Watching
from api.mcp.wire import Context, is_modern
from ltmc_jobs import __version__, registry
from ltmc_jobs.client import Client
from ltmc_jobs.queues.contract import Principal
from ltmc_jobs.settings import Settings

LIST_TTL_MS = 60_000
MIRROR = '"x-mcp-header"'  # on an argument that a header repeats


def build(
    client_of: Callable[[], Client],
    settings: Settings,
    *,
    principal: Principal | None = None,
    subscriptions: OldSubscriptions | None = None,
) -> Server[Any]:
    """The MCP server over the registry's tools; `principal` is who calls where no HTTP request says it."""
    asking = Asking(client_of, settings.project, principal or Principal())
    tasks = Tasks(asking)
    watching = Watching(asking)
    shown = types.ListToolsResult(tools=[listed(form) for form in registry.forms()])
    shown_2025 = types.ListToolsResult(tools=[as_2025(tool) for tool in shown.tools])
    mirrored = {tool.name: tool.input_schema for tool in shown.tools if MIRROR in json.dumps(tool.input_schema)}

    async def list_tools(ctx: Context, _params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        return shown if is_modern(ctx) else shown_2025

    async def set_level(_ctx: Context, _params: types.SetLevelRequestParams) -> types.EmptyResult:
        return types.EmptyResult()  # nothing is remembered of a client; what a job logs is told as "info"

    server: Server[Any] = Server(
        "ltmc",
        version=__version__,
        title="LTMC long-term memory",
        instructions=INSTRUCTIONS,
        on_list_tools=list_tools,
        on_call_tool=Calls(asking, tasks).call,
        on_subscriptions_listen=Listening(asking, watching).listen,
        **offering(asking, subscriptions or OldSubscriptions(asking, watching)),
        get_tool_input_schema=mirrored.get,  # only these are walked to check a call's headers
        cache_hints={"tools/list": CacheHint(ttl_ms=LIST_TTL_MS, scope="public")},
    )
    server.middleware.clear()  # OpenTelemetry's, a third of a call's cost; our traces travel in the envelope
    server.middleware.append(Tasks2025(asking))
    server.add_request_handler("logging/setLevel", types.SetLevelRequestParams, set_level)
    tasks.offer(server)
    return server
