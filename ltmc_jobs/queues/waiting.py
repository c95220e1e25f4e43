"""Wait for a job's end without polling: a blocking read of its results, or one subscription for a whole event loop."""

from __future__ import annotations

import asyncio
import os
import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeAlias

import redis
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from ltmc_jobs import keys
from ltmc_jobs.errors import NotFound
from ltmc_jobs.queues.contract import JobInfo, JobStatus, Outcome
from ltmc_jobs.queues.inspect import (
    ask_state,
    decoded_result,
    error_of,
    job_key,
    read_state,
    results_key,
    return_value,
)
from ltmc_jobs.queues.scripts import script

# A stock worker tells nobody, and a connection may die without a word, so that all waits are looked at this often.
# Well below Shared's SOCKET_SECONDS: a blocking read longer than that would look like a dead server.
REREAD_SECONDS = 4.0
RECONNECT_SECONDS = 0.2
WATCHED_AT_ONCE = 500
EXPECTED = 1000  # ends that are kept for who may ask later
READS_AT_ONCE = 8  # a connection each

WATCH = script("watch")
SUCCESSFUL = b"1"  # RQ's type of a result
ASKS = "asks"  # the word for a job that waits for answers, beside RQ's states
RELEASED = "released"  # and for a wait that is over before its time

Ear: TypeAlias = Callable[
    [str, str], None
]  # hears a word (a final state, progress, asks, answered) and what goes with it


def outcome(connection: Redis, job_id: str, seconds: float) -> Outcome:
    """Wait for at most so long; the outcome says whether the job has ended, or asks. NotFound for an unknown job."""
    deadline = time.monotonic() + seconds
    seen: bytes | str = "0-0"
    while True:
        left = deadline - time.monotonic()
        if left > 0:
            entry = _next_entry(connection, job_id, seen, min(left, REREAD_SECONDS))
            if entry is not None and entry.get(b"type") == SUCCESSFUL:
                return Outcome(job_id, JobStatus.FINISHED, return_value(entry))
        pipeline = connection.pipeline()
        ask_state(pipeline, job_id)
        info, seen = read_state(job_id, pipeline.execute())
        if info.status.is_final or info.questions or left <= 0:
            return _outcome(info)


def _next_entry(connection: Redis, job_id: str, after: bytes | str, seconds: float) -> dict[bytes, bytes] | None:
    """The newest result after that one, waited for; None when there is none, or the job has ended without.

    The question whether there is anything to wait for goes out with the wait: a round trip less.
    """
    pool = connection.connection_pool
    line: Any = pool.get_connection()
    try:
        block = max(1, int(seconds * 1000))
        ask = ("HGET", job_key(job_id), "status")
        read = ("XREAD", "BLOCK", block, "STREAMS", results_key(job_id), after)
        line.send_packed_command(line.pack_commands([ask, read]))
        status = line.read_response()
        if status is None or JobStatus.is_end(status.decode(errors="replace")):
            line.disconnect()  # a read that nothing may answer is out
            return None
        found = line.read_response()
    except (redis.ConnectionError, redis.TimeoutError):
        line.disconnect()
        return None  # what follows tries again, and says so if it is in vain
    finally:
        pool.release(line)
    streams = list(found.values()) if isinstance(found, dict) else [entries for _, entries in found or ()]
    return _mapping(streams[0][-1][1]) if streams and streams[0] else None


def _mapping(flat: Any) -> dict[bytes, bytes]:
    return flat if isinstance(flat, dict) else dict(zip(flat[::2], flat[1::2], strict=True))


class Replies:
    """The ends of jobs, heard through one subscription by everyone who waits in an event loop."""

    def __init__(self, connection: AsyncRedis) -> None:
        self._connection = connection
        self.channel = f"{keys.PREFIX}reply:{os.urandom(8).hex()}"
        self._waiting: defaultdict[str, set[asyncio.Future[tuple[str, str | None]]]] = defaultdict(set)
        self._ears: defaultdict[str, set[Ear]] = defaultdict(set)
        self._expected: OrderedDict[str, tuple[str, str | None] | None] = OrderedDict()
        self._task: asyncio.Task[None] | None = None
        self._asking: asyncio.Task[None] | None = None
        self._unasked: list[str] = []
        self._is_released = False
        self._listens = asyncio.Event()
        self._reading = asyncio.Semaphore(READS_AT_ONCE)

    async def listen(self) -> None:
        """Return when this loop's subscription stands."""
        loop = asyncio.get_running_loop()
        if self._task is None or self._task.done() or self._task.get_loop() is not loop:
            self._listens = asyncio.Event()
            self._reading = asyncio.Semaphore(READS_AT_ONCE)
            self._expected.clear()
            self._task = loop.create_task(self._hear())
        if not self._listens.is_set():
            waiting = asyncio.create_task(self._listens.wait())
            done, _ = await asyncio.wait({waiting, self._task}, return_when=asyncio.FIRST_COMPLETED, timeout=2.0)
            if waiting not in done:
                waiting.cancel()
                raise redis.ConnectionError("no subscription within two seconds")

    def expect(self, job_ids: Iterable[str]) -> None:
        """Jobs are about to be enqueued with our channel: their ends will be told, perhaps before anybody waits."""
        for job_id in job_ids:
            self._expected[job_id] = None
        while len(self._expected) > EXPECTED:
            self._expected.popitem(last=False)

    def forget(self, job_ids: Iterable[str]) -> None:
        """Their ends are not told to us."""
        for job_id in job_ids:
            self._expected.pop(job_id, None)

    @contextmanager
    def hearing(self, job_id: str, ear: Ear) -> Iterator[None]:
        """Within, the ear hears what is told to us of a job: of one that we enqueued, or `watch`."""
        self._ears[job_id].add(ear)
        try:
            yield
        finally:
            self._ears[job_id].discard(ear)
            if not self._ears[job_id]:
                del self._ears[job_id]

    def release(self) -> None:
        """Let no one wait any more: all who do hear how their jobs stand."""
        self._is_released = True
        for told in [told for waiting in self._waiting.values() for told in waiting]:
            if not told.done():
                told.set_result((RELEASED, None))

    async def watch(self, job_id: str) -> None:
        """Have what becomes of a job told to us, and at once how it has ended, or that it asks."""
        await self.listen()
        await self._watch([job_id])

    async def outcome(self, job_id: str, seconds: float) -> Outcome:
        """Wait for at most so long, or until the job asks; NotFound for an unknown job."""
        until = time.monotonic() + seconds
        while True:
            left = until - time.monotonic()
            if left <= 0 or self._is_released:
                return await self._read(job_id)
            found = await self._awaited(job_id, left)
            if found is not None:
                return found

    async def _awaited(self, job_id: str, seconds: float) -> Outcome | None:
        """None if it asked, and has been answered meanwhile."""
        await self.listen()
        told: asyncio.Future[tuple[str, str | None]] = asyncio.get_running_loop().create_future()
        self._waiting[job_id].add(told)
        try:
            if job_id not in self._expected:
                self._ask(job_id)
            elif (already := self._expected[job_id]) is not None:
                self._tell(job_id, *already)
            status, payload = await asyncio.wait_for(told, seconds)
        except TimeoutError:
            return await self.read(job_id)
        finally:
            self._waiting[job_id].discard(told)
            if not self._waiting[job_id]:
                del self._waiting[job_id]
        if status == "":
            raise NotFound(f"there is no job {job_id}, or it has expired", job_id=job_id)
        if status == JobStatus.FINISHED and payload is not None:
            return Outcome(job_id, JobStatus.FINISHED, decoded_result(payload))
        found = await self.read(job_id)
        if status != ASKS:
            return found
        if job_id in self._expected:
            self._expected[job_id] = None
        return found if found.is_final or found.questions else None

    async def read(self, job_id: str) -> Outcome:
        """How it stands; a few at once, so that many who wait do not need a connection each."""
        async with self._reading:
            return await self._read(job_id)

    async def _hear(self) -> None:
        subscription = self._connection.pubsub()
        try:
            await self._follow(subscription)
        finally:
            self._listens.clear()
            with suppress(Exception):
                await subscription.aclose()  # type: ignore[no-untyped-call]

    async def _follow(self, subscription: Any) -> None:
        looked = time.monotonic()
        subscribed = False
        while True:
            try:
                if not subscribed:
                    await subscription.subscribe(self.channel)
                    subscribed = True
                message = await subscription.get_message(timeout=REREAD_SECONDS)
                if message is not None and message["type"] == "message":
                    self._told(message["data"].decode())
                elif message is not None and message["type"] == "subscribe":
                    # Also after a reconnect, when what was told meanwhile is lost.
                    self._expected.clear()
                    self._listens.set()
                    await self._watch({*self._waiting, *self._ears})
                if time.monotonic() - looked > REREAD_SECONDS:
                    looked = time.monotonic()
                    await self._watch({*self._waiting, *self._ears})
            except redis.RedisError:
                await asyncio.sleep(RECONNECT_SECONDS)

    def _ask(self, job_id: str) -> None:
        """See to it that the end of this job is told to us, with those of all who ask in this moment."""
        self._unasked.append(job_id)
        loop = asyncio.get_running_loop()
        if self._asking is None or self._asking.done() or self._asking.get_loop() is not loop:
            self._asking = loop.create_task(self._ask_all())

    async def _ask_all(self) -> None:
        while self._unasked:
            wanted, self._unasked = self._unasked, []
            try:
                await self._watch(wanted)
            except Exception as error:
                for told in [told for job_id in wanted for told in self._waiting.get(job_id, ())]:
                    if not told.done():
                        told.set_exception(error)

    async def _watch(self, job_ids: Iterable[str]) -> None:
        """Make sure that the end of these jobs is told to us; those that have ended are told now."""
        wanted = list(job_ids)
        for start in range(0, len(wanted), WATCHED_AT_ONCE):
            page = wanted[start : start + WATCHED_AT_ONCE]
            states: Any = await WATCH.run_async(self._connection, [self.channel, *page])
            for job_id, status in zip(page, states, strict=True):
                word = status.decode()
                if word in ("", ASKS) or JobStatus.is_end(word):
                    self._hear_word(job_id, word, "")
                    if word or job_id in self._waiting:  # who only listens may do so before the job is enqueued
                        self._tell(job_id, word, None)

    def _told(self, text: str) -> None:
        job_id, word, payload = text.split("\n", 2)
        self._hear_word(job_id, word, payload)
        if word == ASKS or JobStatus.is_end(word):
            self._tell(job_id, word, payload)

    def _hear_word(self, job_id: str, word: str, payload: str) -> None:
        for ear in tuple(self._ears.get(job_id, ())):
            ear(word, payload)

    def _tell(self, job_id: str, status: str, payload: str | None) -> None:
        if job_id in self._expected:
            self._expected[job_id] = (status, payload)
        for waiter in self._waiting.get(job_id, ()):
            if not waiter.done():
                waiter.set_result((status, payload))

    async def _read(self, job_id: str) -> Outcome:
        pipeline = self._connection.pipeline()
        ask_state(pipeline, job_id)
        return _outcome(read_state(job_id, await pipeline.execute())[0])


def _outcome(info: JobInfo) -> Outcome:
    return Outcome.of(info, error_of(info) if info.status == JobStatus.FAILED else None)
