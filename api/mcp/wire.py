"""What a request says of the client that sent it: its era, its transport, what it wants to hear."""

from __future__ import annotations

from typing import Any

import mcp_types as types
from mcp.server import ServerRequestContext
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from starlette.requests import Request

Context = ServerRequestContext[Any, Any]


def is_modern(ctx: Context) -> bool:
    """Whether it is of 2026-07-28 or later: no handshake, and a client that goes away has cancelled."""
    return ctx.protocol_version in MODERN_PROTOCOL_VERSIONS


def is_http(ctx: Context) -> bool:
    """Whether it came over HTTP; else the client is a process beside this one."""
    return isinstance(ctx.request, Request)


def wants_progress(ctx: Context) -> bool:
    """Whether it is to be told how far the work is."""
    return "progress_token" in (ctx.meta or {})


def wants_lines(ctx: Context) -> bool:
    """Whether it is to be told what the job logs; an old client is, unless it says otherwise to itself."""
    meta: Any = ctx.meta or {}
    return not is_modern(ctx) or meta.get(types.LOG_LEVEL_META_KEY) in ("debug", "info")


def wants_words(ctx: Context) -> bool:
    """Whether it is to be told anything of a job that runs."""
    return wants_progress(ctx) or wants_lines(ctx)
