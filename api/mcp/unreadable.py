"""What comes in over stdio and cannot be read: each line of it gets an answer, where the SDK would say nothing.

It may be half of a surrogate pair, as a host may send of a text that it cut: valid JSON, and no text.
"""

from __future__ import annotations

import json
from typing import Any

import mcp_types as types
from mcp.shared._stream_protocols import ReadStream, WriteStream
from mcp.shared.message import SessionMessage
from pydantic import ValidationError

WORDS = "the message is no JSON-RPC, or holds text that is none (half of a surrogate pair?)"


class Readable:
    """A read stream without what cannot be read, which is answered."""

    def __init__(self, reading: ReadStream[SessionMessage | Exception], writing: WriteStream[SessionMessage]) -> None:
        self._reading = reading
        self._writing = writing

    @property
    def last_context(self) -> Any:
        """As the SDK's own streams have it."""
        return getattr(self._reading, "last_context", None)

    async def receive(self) -> SessionMessage | Exception:
        while True:
            item = await self._reading.receive()
            if not isinstance(item, ValidationError):
                return item
            await self._answer(item)

    def __aiter__(self) -> Readable:
        return self

    async def __anext__(self) -> SessionMessage | Exception:
        while True:
            item = await anext(self._reading)
            if not isinstance(item, ValidationError):
                return item
            await self._answer(item)

    async def aclose(self) -> None:
        await self._reading.aclose()

    async def __aenter__(self) -> Readable:
        await self._reading.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> bool | None:
        return await self._reading.__aexit__(*error)

    async def _answer(self, error: ValidationError) -> None:
        """To its sender, under its id if it has one; a notification gets none, and no answer to ours does."""
        found = _message(error)
        if isinstance(found, dict) and "id" not in found and isinstance(found.get("method"), str):
            return
        if isinstance(found, dict) and "method" not in found:
            return
        given = found.get("id") if isinstance(found, dict) else None
        is_id = isinstance(given, int | str) and not isinstance(given, bool) and _is_text(given)
        code = types.INVALID_REQUEST if isinstance(found, dict) and is_id else types.PARSE_ERROR
        told = types.JSONRPCError(
            jsonrpc="2.0", id=given if is_id else None, error=types.ErrorData(code=code, message=WORDS)
        )
        await self._writing.send(SessionMessage(told))


def _message(error: ValidationError) -> Any:
    """What came in: the line where it is no JSON by the SDK's reading, else what was read of it; None for nothing."""
    inputs = [one["input"] for one in error.errors(include_url=False)]
    if isinstance(inputs[0], dict) or len(inputs) > 1:
        return next((one for one in inputs if isinstance(one, dict) and "jsonrpc" in one), None)
    try:
        return json.loads(inputs[0])
    except (ValueError, TypeError, RecursionError):
        return None


def _is_text(value: Any) -> bool:
    try:
        str(value).encode()
    except UnicodeEncodeError:
        return False
    return True
