"""Changes: what has changed in a project, told by those who change it and heard by who waits. Nobody polls."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeAlias

import redis
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from ltmc_jobs import keys

CHANNEL = f"{keys.PREFIX}changed"
READ_SECONDS = 60.0
RECONNECT_SECONDS = 0.5

Ear: TypeAlias = Callable[[frozenset[str]], None]  # hears topics; none of them: something may have been missed


def tell(pipeline: Redis, project: str, topics: Iterable[str]) -> None:
    """Say that these topics of a project have changed."""
    pipeline.publish(CHANNEL, " ".join([project, *topics]))


class Changes:
    """The one subscription of an event loop; it stands while somebody listens."""

    def __init__(self, connection: AsyncRedis) -> None:
        self._connection = connection
        self._ears: defaultdict[str, set[Ear]] = defaultdict(set)
        self._task: asyncio.Task[None] | None = None

    @contextmanager
    def hearing(self, project: str, ear: Ear) -> Iterator[None]:
        """Within, the ear hears what changes in a project; first, that something may have changed before."""
        self._ears[project].add(ear)
        loop = asyncio.get_running_loop()
        if self._task is None or self._task.done() or self._task.get_loop() is not loop:
            self._task = loop.create_task(self._hear())
        else:
            ear(frozenset())
        try:
            yield
        finally:
            self._ears[project].discard(ear)
            if not self._ears[project]:
                del self._ears[project]
            if not self._ears and self._task is not None:
                self._task.cancel()
                self._task = None

    async def _hear(self) -> None:
        subscription = self._connection.pubsub()
        try:
            while True:
                try:
                    if not subscription.subscribed:
                        await subscription.subscribe(CHANNEL)
                    self._told(await subscription.get_message(timeout=READ_SECONDS))
                except redis.RedisError:
                    await asyncio.sleep(RECONNECT_SECONDS)
        finally:
            with suppress(Exception):
                await subscription.aclose()  # type: ignore[no-untyped-call]

    def _told(self, message: dict[str, Any] | None) -> None:
        if message is None:
            return
        if message["type"] == "subscribe":  # after a lost connection too, when what was told meanwhile is lost
            heard = {project: frozenset[str]() for project in self._ears}
        else:
            project, *topics = message["data"].decode().split(" ")
            heard = {project: frozenset(topics)}
        for project, topics_of in heard.items():
            for ear in tuple(self._ears.get(project, ())):
                ear(topics_of)
