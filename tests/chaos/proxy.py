"""A TCP proxy between a client and Redis that loses answers: the command was executed, and nobody hears of it."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from urllib.parse import urlsplit

CHUNK = 1 << 16


class Proxy:
    """Listens on a free port of its own. `cut(n)` says whether the n-th answer, of whichever connection, is lost.

    A lost answer ends its connection; what the client sent before has reached the server.
    """

    def __init__(self, address: str, cut: Callable[[int], bool]) -> None:
        parts = urlsplit(address)
        self._target = (parts.hostname or "127.0.0.1", parts.port or 6379)
        self._cut = cut
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._silent: set[socket.socket] = set()
        self.answers = 0
        self.lost = 0
        own = f"127.0.0.1:{self._listener.getsockname()[1]}"
        credentials, at, _ = parts.netloc.rpartition("@")
        self.address = parts._replace(netloc=f"{credentials}{at}{own}").geturl()

    def __enter__(self) -> Proxy:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for one in self._open:
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def silence(self) -> None:
        """The connections that there are carry nothing back from now on, and nobody is told."""
        with self._lock:
            self._silent |= self._open

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._target) as server, suppress(OSError):
            for one in (client, server):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._open |= {client, server}
            try:
                self._carry(client, server)
            finally:
                with self._lock:
                    self._open -= {client, server}

    def _carry(self, client: socket.socket, server: socket.socket) -> None:
        while True:
            ready, _, _ = select.select([client, server], [], [])
            if client in ready:
                asked = client.recv(CHUNK)
                if not asked:
                    return
                server.sendall(asked)
            if server in ready:
                answer = server.recv(CHUNK)
                if not answer or self._is_lost():
                    return
                if client not in self._silent:
                    client.sendall(answer)

    def _is_lost(self) -> bool:
        with self._lock:
            self.answers += 1
            lost = self._cut(self.answers)
            self.lost += lost
            return lost
