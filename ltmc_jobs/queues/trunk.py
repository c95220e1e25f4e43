"""Trunk: one connection for all who ask in an event loop; answers come in the order of the questions.

redis-py takes a connection for each command and gives it back, which costs an event loop more than most commands cost
the server. What goes wrong here is left to redis-py, which connects and tries again as it is told to.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

import hiredis
import redis
from redis.asyncio import ConnectionPool

PATIENCE_SECONDS = 8.0  # an answer that takes longer does not come
QUESTION_BYTES = 65_536  # what is longer would keep all others waiting


class NoAnswer(Exception):
    """There is none to be had from here: none came, or an error, which redis-py's own classes say better."""


class Trunk:
    """Connects as a pool's connections do; for one event loop at a time."""

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool
        self._conversation: _Conversation | None = None
        self._is_connecting = False

    async def ask(self, *command: Any) -> Any:
        """The server's answer as it came. NoAnswer; the command may have been carried out all the same."""
        question = hiredis.pack_command(command)
        if len(question) > QUESTION_BYTES:
            raise NoAnswer
        conversation = self._conversation
        if conversation is None or not conversation.goes_on:
            conversation = await self._begin()
        return await conversation.ask(question)

    def close(self) -> None:
        """End the conversation; the next question begins another."""
        if self._conversation is not None:
            self._conversation.close()
            self._conversation = None

    async def _begin(self) -> _Conversation:
        if self._is_connecting:  # who asks meanwhile goes another way
            raise NoAnswer
        self._is_connecting = True
        try:
            connection: Any = self._pool.make_connection()  # type: ignore[no-untyped-call]
            await connection.connect()
            self._conversation = _Conversation(connection)
        except (redis.RedisError, OSError):
            raise NoAnswer from None
        finally:
            self._is_connecting = False
        return self._conversation


class _Conversation(asyncio.Protocol):
    """Takes a signed-in connection's socket over."""

    def __init__(self, connection: Any) -> None:
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader()
        self._asked: deque[tuple[asyncio.Future[Any], float]] = deque()
        self._watch: asyncio.TimerHandle | None = None
        self._writer, connection._writer = connection._writer, None  # else both would close it
        connection._reader = None
        self._transport = self._writer.transport
        self._former = self._transport.get_protocol()
        self._transport.set_protocol(self)

    @property
    def goes_on(self) -> bool:
        """Whether it can be asked, here."""
        return self._loop is asyncio.get_running_loop() and not self._transport.is_closing()

    def ask(self, question: bytes) -> asyncio.Future[Any]:
        answer = self._loop.create_future()
        self._asked.append((answer, self._loop.time()))
        self._transport.write(question)
        if self._watch is None:
            self._watch = self._loop.call_later(PATIENCE_SECONDS, self._look)
        return answer

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        while (answer := self._reader.gets()) is not False:
            if isinstance(answer, hiredis.PushNotification):
                continue
            asked, _ = self._asked.popleft()
            if asked.done():  # nobody waits for it any more
                continue
            if isinstance(answer, hiredis.ReplyError):
                asked.set_exception(NoAnswer())
            else:
                asked.set_result(answer)

    def connection_lost(self, error: Exception | None) -> None:
        self._former.connection_lost(error)
        if self._watch is not None:
            self._watch.cancel()
        for asked, _ in self._asked:
            if not asked.done():
                asked.set_exception(NoAnswer())
        self._asked.clear()

    def close(self) -> None:
        if not self._loop.is_closed():
            self._transport.close()

    def _look(self) -> None:
        """End it when the oldest question has waited too long."""
        self._watch = None
        if not self._asked:
            return
        left = self._asked[0][1] + PATIENCE_SECONDS - self._loop.time()
        if left <= 0:
            self._transport.abort()
        else:
            self._watch = self._loop.call_later(left, self._look)
