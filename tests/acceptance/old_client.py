"""A host with the older Python client (mcp 1.30), in that client's own environment: calls every tool, says how it went.

`python -m tests.acceptance.old_client http URL` or `… stdio PROJECT COMMAND…`; a JSON line per call: tool, code of the
error or null. What the client itself refuses, as a result that does not fit its schema, ends it with a traceback.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamablehttp_client

from tests.acceptance.every_tool import ROWS, call_all

WAIT = timedelta(seconds=60)


@asynccontextmanager
async def connected(over: str, where: list[str]) -> AsyncIterator[ClientSession]:
    """A session after its handshake."""
    if over == "http":
        async with streamablehttp_client(where[0]) as (reading, writing, _), ClientSession(reading, writing) as session:
            await session.initialize()
            yield session
    else:
        command = StdioServerParameters(command=where[0], args=where[1:], env=dict(os.environ))
        async with stdio_client(command) as (reading, writing), ClientSession(reading, writing) as session:
            await session.initialize()
            yield session


async def main(over: str, where: list[str]) -> None:
    async with connected(over, where) as session:
        listed = {tool.name for tool in (await session.list_tools()).tools}
        assert listed == {row.tool for row in ROWS}, listed ^ {row.tool for row in ROWS}

        async def call(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
            result = await session.call_tool(name, arguments, read_timeout_seconds=WAIT)
            assert result.content
            return dict(result.structuredContent or {})

        async for row, _, answer in call_all(call):
            print(json.dumps({"tool": row.tool, "error": (answer.get("error") or {}).get("code")}), flush=True)  # noqa: T201
        assert (await session.list_resources()).resources is not None
        assert {prompt.name for prompt in (await session.list_prompts()).prompts} >= {"recall", "hand_over"}


asyncio.run(main(sys.argv[1], sys.argv[2:]))
