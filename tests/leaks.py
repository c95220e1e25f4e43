"""Which keys a test left behind that no one documented, or that would live for ever."""

from __future__ import annotations

from redis import Redis

from ltmc_jobs import keys


def leaked(connection: Redis) -> list[str]:
    """Keys of ours that are undeclared, and those without a life that may not be permanent."""
    found = []
    for raw in connection.scan_iter("*"):
        name = raw.decode()
        if name.startswith("rq:"):
            continue  # as RQ has them
        try:
            _, family, _ = keys.parse(name)
        except ValueError:
            found.append(f"{name}: not declared in keys.FAMILIES")
            continue
        kind = connection.type(raw).decode()
        if kind != keys.FAMILIES[family][0] and kind != "none":
            found.append(f"{name}: a {kind}, declared as {keys.FAMILIES[family][0]}")
        if connection.ttl(raw) == -1 and family not in keys.PERMANENT:
            found.append(f"{name}: no TTL, and {family} is not permanent")
    return found
