"""Stream: the answer to one POST of a client before 2026-07-28, into which requests and notifications of ours may go.

Without a session in memory the SDK cannot ask such a client anything: it would not know the reply again. Ours does: the
id of what is asked names the job that asks, so the reply may reach any front end.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from starlette.datastructures import Headers
from starlette.types import Message, Send

EVENTS = "text/event-stream"


class Stream:
    """Wraps `send` of one response."""

    def __init__(self, send: Send, headers: dict[str, str] | None = None) -> None:
        self._send = send
        self._headers = headers or {}
        self._begun = asyncio.Event()
        self._is_open = False

    async def send(self, message: Message) -> None:
        """Pass on what the SDK says."""
        if message["type"] == "http.response.start":
            extra = [(name.encode(), value.encode()) for name, value in self._headers.items()]
            if message["status"] < 400:
                message = {**message, "headers": [*message.get("headers", []), *extra]}
            kind = Headers(raw=message.get("headers", [])).get("content-type", "")
            await self._send(message)
            self._is_open = kind.startswith(EVENTS)
            self._begun.set()
            return
        if not message.get("more_body"):
            self._is_open = False
        await self._send(message)

    async def put(self, method: str, params: dict[str, Any], request_id: str | None = None) -> bool:
        """Put a request, or without an id a notification, between what the SDK says; False if there is no way."""
        await self._begun.wait()
        if not self._is_open:
            return False
        said: dict[str, Any] = {"jsonrpc": "2.0", "method": method, "params": params}
        if request_id is not None:
            said["id"] = request_id
        event = f"event: message\r\ndata: {json.dumps(said)}\r\n\r\n"
        await self._send({"type": "http.response.body", "body": event.encode(), "more_body": True})
        return True
