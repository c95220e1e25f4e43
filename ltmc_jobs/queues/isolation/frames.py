"""JSON messages over a socket, each behind its length: what isolated processes and their starters speak."""

from __future__ import annotations

import json
import socket
import struct
from typing import Any

LENGTH = struct.Struct(">I")
FRAME_LIMIT = 512 * 1024 * 1024  # bytes; a job's arguments and results are far below


class Frames:
    """Both directions of one connected stream socket. One thread reads, one writes."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._received = bytearray()

    def fileno(self) -> int:
        """For `select`."""
        return self._connection.fileno()

    def send(self, message: dict[str, Any]) -> None:
        """Write one message whole; ValueError or TypeError, with nothing written, for what is not JSON."""
        self.send_encoded(encode(message))

    def send_encoded(self, frame: bytes) -> None:
        """Write what `encode` made."""
        self._connection.sendall(frame)

    def receive(self) -> dict[str, Any] | None:
        """The next message, waited for; None when the other side is gone."""
        while True:
            found = self.pop()
            if found is not None:
                return found
            if not self.read():
                return None

    def read(self) -> bool:
        """Take what has arrived, waiting for something; False when the other side is gone."""
        try:
            part = self._connection.recv(1 << 20)
        except ConnectionError:
            return False
        self._received += part
        return bool(part)

    def pop(self) -> dict[str, Any] | None:
        """The next message among what was read; None when it is not there whole."""
        if len(self._received) < LENGTH.size:
            return None
        (size,) = LENGTH.unpack_from(self._received)
        if size > FRAME_LIMIT:
            raise ConnectionError(f"a message of {size:,} bytes is announced")
        end = LENGTH.size + size
        if len(self._received) < end:
            return None
        message: dict[str, Any] = json.loads(self._received[LENGTH.size : end])
        del self._received[:end]
        return message

    def close(self) -> None:
        self._connection.close()


def encode(message: dict[str, Any]) -> bytes:
    """A message as it travels; ValueError or TypeError for what is not JSON, or too long."""
    text = json.dumps(message, separators=(",", ":"), allow_nan=False).encode()
    if len(text) > FRAME_LIMIT:
        raise ValueError(f"{len(text):,} bytes are too long for a message")
    return LENGTH.pack(len(text)) + text
