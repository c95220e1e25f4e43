"""Ports of this machine: which are free, and who holds one that is not."""

from __future__ import annotations

import errno
import socket
from contextlib import suppress

import psutil

from ltmc_jobs.errors import Misconfigured


def require_free(host: str, port: int, variable: str) -> None:
    """Raise Misconfigured, naming the owner and the variable that changes the port, unless it can be bound."""
    for family, kind, protocol, _, address in socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM):
        try:
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise Misconfigured(
                    f"port {port} is in use by {owner(port)}; stop that, or set {variable} to a free port"
                ) from None
            if error.errno == errno.EACCES:
                raise Misconfigured(
                    f"port {port} needs more rights than this user has; set {variable} to 1024 or more"
                ) from None
            # An address family that this machine lacks (IPv6, mostly) is no reason to stop.


def owner(port: int) -> str:
    """`name (pid n)` of the process that listens on a port, as far as this user may see it."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if any(c.status == psutil.CONN_LISTEN and c.laddr.port == port for c in process.net_connections("tcp")):
                return f"{process.name()} (pid {process.pid})"
    return "a process of another user"
