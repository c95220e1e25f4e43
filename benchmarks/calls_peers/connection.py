"""Connection: one kept-alive HTTP connection, with as little of a client as will do, since its time counts, too."""

from __future__ import annotations

import asyncio
import json
from typing import Any

HEAD_END = b"\r\n\r\n"
PATIENCE_SECONDS = 60.0


class Connection(asyncio.Protocol):
    """One request at a time; answers are JSON, or a stream of events of which the last is the answer."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self._transport: Any = None

    @classmethod
    async def open(cls, port: int) -> Connection:
        """Connected; OSError where it is refused."""
        _, made = await asyncio.get_running_loop().create_connection(cls, "127.0.0.1", port)
        return made

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionResetError("the connection was closed"))

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(HEAD_END)
        if end < 0 or self._answer is None:
            return
        head = bytes(self._received[:end]).lower()
        body = self._received[end + len(HEAD_END) :]
        if b"\r\ntransfer-encoding: chunked" in head:
            if not body.endswith(b"0\r\n\r\n"):
                return
            body = _unchunked(body)
        elif len(body) < int(head.partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0] or 0):
            return
        self._received.clear()
        if b"text/event-stream" in head:
            body = body[body.rindex(b"data: ") + 6 :].strip()
        answer, self._answer = self._answer, None
        if not answer.done():
            answer.set_result((int(head[9:12]), bytes(body)))

    async def ask(self, request: bytes) -> tuple[int, Any]:
        """The status and the JSON of the answer."""
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        async with asyncio.timeout(PATIENCE_SECONDS):
            status, body = await self._answer
        return status, json.loads(body)

    @property
    def is_open(self) -> bool:
        return not self._transport.is_closing()

    def close(self) -> None:
        self._transport.close()


def _unchunked(body: bytearray) -> bytearray:
    whole = bytearray()
    while body:
        size, _, rest = body.partition(b"\r\n")
        length = int(size, 16)
        whole += rest[:length]
        body = rest[length + 2 :]
        if not length:
            break
    return whole
