"""Ports of this machine: which are free, and who holds one that is not."""

from __future__ import annotations

import errno
import socket
from contextlib import suppress
from typing import Any

import psutil

from ltmc_jobs.errors import Misconfigured


def require_free(host: str, port: int, variable: str) -> None:
    """Raise Misconfigured, naming the owner and the variable that changes the port, unless it can be bound."""
    absent = 0
    addresses = _addresses(host, port)
    for family, kind, protocol, _, address in addresses:
        try:
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
        except OSError as error:
            _refuse(error, port, variable)
            absent += 1  # an address family that this machine lacks (IPv6, mostly) is no reason to stop
    if absent == len(addresses):
        raise Misconfigured(f"HTTP_HOST={host} is no address of this machine; set it to one that is, or to localhost")


def _addresses(host: str, port: int) -> list[Any]:
    try:
        return socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise Misconfigured(f"HTTP_HOST={host}: no such name; set it to localhost, or to an address of here") from None


def _refuse(error: OSError, port: int, variable: str) -> None:
    if error.errno == errno.EADDRINUSE:
        raise Misconfigured(
            f"port {port} is in use by {owner(port)}; stop that, or set {variable} to a free port"
        ) from None
    if error.errno == errno.EACCES:
        raise Misconfigured(
            f"port {port} needs more rights than this user has; set {variable} to 1024 or more"
        ) from None


def owner(port: int) -> str:
    """`name (pid n)` of the process that listens on a port, as far as this user may see it."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if any(c.status == psutil.CONN_LISTEN and c.laddr.port == port for c in process.net_connections("tcp")):
                return f"{process.name()} (pid {process.pid})"
    return "a process of another user"


def any_free(host: str = "127.0.0.1") -> int:
    """A port of this machine that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])
