"""Parts of addresses: hosts, passwords."""

from __future__ import annotations

from urllib.parse import quote, urlsplit, urlunsplit


def bracketed(host: str) -> str:
    """A host as an address names it: IPv6 in brackets."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def is_redis(address: str) -> bool:
    """Whether it names a Redis server."""
    try:
        parts = urlsplit(address)
        place = parts.path if parts.scheme == "unix" else parts.hostname
        return parts.scheme in ("redis", "rediss", "unix") and bool(place) and parts.port != 0
    except ValueError:
        return False


def with_password(address: str, password: str | None) -> str:
    """An address with the password, where it has none of its own."""
    parts = urlsplit(address)
    if not password or parts.password is not None or "password=" in parts.query:
        return address
    user, at, place = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user if at else ''}:{quote(password, safe='')}@{place}"))
