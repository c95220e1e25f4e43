"""The queue's atomic steps, one Lua file each; a file names the parts that stand before it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.exceptions import NoScriptError

from ltmc_jobs import keys

FOLDER = Path(__file__).parent
OURS = keys.PREFIX


class Script:
    """A Lua script with its parts in front, sent by its digest."""

    def __init__(self, name: str, *parts: str) -> None:
        texts = [(FOLDER / f"{part}.lua").read_text() for part in ("prelude", *parts, name)]
        self.name = name
        self.text = "\n".join([f"local OURS = '{OURS}'", *texts])
        self.digest = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()

    def run(self, connection: Redis, arguments: Sequence[Any]) -> Any:
        """The script's answer; the server is given the text when it lacks it. Safe to send twice, as each script is."""
        try:
            return connection.execute_command("EVALSHA", self.digest, 0, *arguments)  # type: ignore[no-untyped-call]
        except NoScriptError:
            connection.script_load(self.text)
            return connection.execute_command("EVALSHA", self.digest, 0, *arguments)  # type: ignore[no-untyped-call]

    def run_many(self, connection: Redis, commands: Sequence[Sequence[Any]]) -> list[Any]:
        """The answers to many, sent at once; each is a step of its own."""
        pipeline = connection.pipeline(transaction=False)
        for arguments in commands:
            pipeline.execute_command("EVALSHA", self.digest, 0, *arguments)  # type: ignore[no-untyped-call]
        try:
            return pipeline.execute() if commands else []
        except NoScriptError:
            connection.script_load(self.text)
            return self.run_many(connection, commands)

    async def run_async(self, connection: AsyncRedis, arguments: Sequence[Any]) -> Any:
        """The same for an event loop."""
        try:
            return await connection.execute_command("EVALSHA", self.digest, 0, *arguments)  # type: ignore[no-untyped-call]
        except NoScriptError:
            await connection.script_load(self.text)
            return await connection.execute_command("EVALSHA", self.digest, 0, *arguments)  # type: ignore[no-untyped-call]


@cache
def script(name: str, *parts: str) -> Script:
    """The script of this name, read once."""
    return Script(name, *parts)
