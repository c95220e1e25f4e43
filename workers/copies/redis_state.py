"""Our keys and RQ's, as they stand in Redis at one moment; written to a file and put back."""

from __future__ import annotations

import contextlib
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import redis
from redis import Redis

from ltmc_jobs import keys
from ltmc_jobs.errors import Conflict, QueueUnavailable, Unavailable

OURS = (f"ltmc:{keys.SCHEMA}:".encode(), b"rq:")
LEASES = keys.key(keys.INSTALLATION, "lease")
HOLD_SECONDS = 5.0  # shorter than any lease: nobody is taken for dead because writes waited
BATCH = 500
FRAME = struct.Struct("<IqI")  # bytes of the key, milliseconds it lives (-1: for ever), bytes of its content

# Content and remaining life of each key. `DUMP` in a script: three times as fast as one by one.
READ = """
local found = {}
for i, name in ipairs(KEYS) do
  found[2 * i - 1] = redis.call('DUMP', name)
  found[2 * i] = redis.call('PTTL', name)
end
return found
"""


@contextlib.contextmanager
def writes_held(connection: Redis) -> Iterator[None]:
    """Let everybody's writes wait meanwhile, five seconds at most: what is read is the state at one moment.

    Should this process die, the server lets them go on by itself. Unavailable if the time did not suffice.
    """
    began = time.monotonic()
    server: Any = connection  # its stubs know nothing of commands by name
    try:
        server.execute_command("CLIENT PAUSE", int(HOLD_SECONDS * 1000), "WRITE")
    except redis.ResponseError as error:
        raise Unavailable(f"this Redis does not let its writes be held for a copy: {error}") from None
    try:
        yield
        if time.monotonic() - began > HOLD_SECONDS - 0.1:
            raise Unavailable(
                f"more has changed in Redis than could be read in {HOLD_SECONDS:g} s, and for longer nobody may "
                "wait: try again when there is less to do, or stop the platform first"
            )
    finally:
        server.execute_command("CLIENT UNPAUSE")


def our_keys(connection: Redis) -> list[bytes]:
    """All of them, in no order."""
    found: dict[bytes, None] = {}
    cursor: Any = 0
    names: Any
    while True:
        cursor, names = connection.scan(cursor, count=2000)
        found.update(dict.fromkeys(name for name in names if name.startswith(OURS)))
        if cursor == 0:
            return list(found)


def write_to(connection: Redis, target: Path) -> None:
    """Write all of them to a file; at one moment within `writes_held`."""
    names = our_keys(connection)
    with target.open("xb") as file:
        target.chmod(0o600)
        for at in range(0, len(names), BATCH):
            write_frames(connection, names[at : at + BATCH], file)


def write_frames(connection: Redis, names: list[bytes], file: IO[bytes]) -> None:
    """Write these, as far as they are there."""
    found: Any
    try:
        found = connection.eval_ro(READ, len(names), *names)
    except redis.ResponseError:  # before Redis 7
        pipeline = connection.pipeline(transaction=False)
        for name in names:
            pipeline.dump(name)
            pipeline.pttl(name)
        found = pipeline.execute()
    for name, content, life in zip(names, found[::2], found[1::2], strict=True):
        if content:  # else it has just expired
            file.write(packed(name, life, content))


def packed(name: bytes, life: int, content: bytes) -> bytes:
    """A frame, as `frames` reads it."""
    return FRAME.pack(len(name), life, len(content)) + name + content


def frames(source: Path) -> Iterator[tuple[bytes, int, bytes]]:
    """Key, remaining life in milliseconds (-1: for ever) and content of each that such a file holds."""
    with source.open("rb") as file:
        while head := file.read(FRAME.size):
            try:
                name_bytes, life, content_bytes = FRAME.unpack(head)
            except struct.error:
                raise Conflict(f"{source.name} ends in the middle") from None
            name, content = file.read(name_bytes), file.read(content_bytes)
            if len(content) != content_bytes or not name.startswith(OURS):
                raise Conflict(f"{source.name} is damaged")
            yield name, life, content


def counts(source: Path) -> dict[str, int]:
    """Keys, and jobs among them."""
    total = jobs = 0
    for name, _, _ in frames(source):
        total += 1
        jobs += name.startswith(b"rq:job:") and not name.startswith(b"rq:job::") and not name.endswith(b":dependents")
    return {"keys": total, "jobs": jobs}


def waiting(connection: Redis) -> dict[str, int]:
    """Jobs that wait, by queue."""
    names: Any = connection.smembers("rq:queues")
    found: Any = {name.decode().removeprefix("rq:queue:"): connection.llen(name) for name in sorted(names)}
    return {name: count for name, count in found.items() if count}


def put_back(connection: Redis, source: Path) -> int:
    """Write such a file's keys, with as much life as they had left; how many. Workers of then hold nothing any more."""
    total = 0
    pipeline = connection.pipeline(transaction=False)
    try:
        for name, life, content in frames(source):
            pipeline.restore(name, 0 if life < 0 else max(life, 1), content, replace=True)
            total += 1
            if total % BATCH == 0:
                pipeline.execute()
        pipeline.execute()
        # The processes of then are gone: what they held goes back into its queue at once.
        held: Any = connection.zrange(LEASES, 0, -1)
        if held:
            connection.zadd(LEASES, dict.fromkeys(held, 0), xx=True)
    except redis.ResponseError as error:
        version = dict(connection.info("server")).get("redis_version")
        raise Conflict(f"this Redis ({version}) cannot take what another one wrote: {error}") from None
    except (redis.ConnectionError, redis.TimeoutError) as error:
        raise QueueUnavailable(f"Redis was lost: {error}") from None
    return total


def remove(connection: Redis) -> None:
    """Delete all of them."""
    names = our_keys(connection)
    for at in range(0, len(names), BATCH):
        connection.unlink(*names[at : at + BATCH])
