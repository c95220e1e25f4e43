"""What a client said that it can do: with each request since 2026-07-28, before that once for its session."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mcp.server import ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp_types.jsonrpc import MISSING_REQUIRED_CLIENT_CAPABILITY
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from starlette.requests import Request

from api.mcp.old_sessions import CAPABILITIES

TASKS = "io.modelcontextprotocol/tasks"


def can(ctx: ServerRequestContext[Any, Any], name: str) -> bool:
    """Whether the client has a capability: sampling, elicitation, roots, tasks."""
    is_modern = ctx.protocol_version in MODERN_PROTOCOL_VERSIONS
    if not is_modern and isinstance(ctx.request, Request):
        return name in ctx.request.scope.get(CAPABILITIES, ())
    declared = ctx.session.client_capabilities
    if name == "tasks" and is_modern:
        return bool(declared and declared.extensions and TASKS in declared.extensions)
    return getattr(declared, name, None) is not None


def require(ctx: ServerRequestContext[Any, Any], names: Iterable[str]) -> None:
    """MCPError -32021, which names what lacks, unless the client has declared all of these."""
    missing = [name for name in names if not can(ctx, name)]
    if missing:
        wanted: dict[str, Any] = {name: {} for name in missing if name != "tasks"}
        if "tasks" in missing:
            wanted["extensions"] = {TASKS: {}}
        words = f"this needs a client that declares {', '.join(missing)}"
        raise MCPError(MISSING_REQUIRED_CLIENT_CAPABILITY, words, {"requiredCapabilities": wanted})
