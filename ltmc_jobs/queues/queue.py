"""JobQueue: the seam over Redis, blocking; AsyncJobQueue: the same for an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from typing import Any, ParamSpec, TypeVar

from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.exceptions import ResponseError

from ltmc_jobs import keys
from ltmc_jobs.errors import NotFound
from ltmc_jobs.queues import control, inspect, listing, producer, revival, sweep, waiting
from ltmc_jobs.queues.contract import JobInfo, JobRef, JobSpec, JobStatus, Outcome
from ltmc_jobs.queues.control import Controls, Limit, Subject
from ltmc_jobs.queues.envelope import Keyring
from ltmc_jobs.queues.line import Line
from ltmc_jobs.queues.reach import reaching
from ltmc_jobs.queues.views import fleet, whereabouts
from ltmc_jobs.queues.wanted import Wanted

DURABLE_MILLISECONDS = 2000

P = ParamSpec("P")
T = TypeVar("T")


def reached(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call; the server's absence or refusal becomes QueueUnavailable."""
    with reaching():
        return function(*args, **kwargs)


def checked(job_id: str) -> str:
    """An id as jobs have them; NotFound for what can be none, and might name another key."""
    if not producer.ID.fullmatch(job_id):
        raise NotFound("there is no such job: an id is letters, digits, - and _")
    return job_id


class JobQueue:
    """Put jobs in and look at them. `connection` is a Redis or Valkey; `keys` sign what goes in."""

    def __init__(self, connection: Redis, keys: Keyring) -> None:
        self.connection = connection
        self.keys = keys
        self._line = Line(connection)

    def enqueue(self, spec: JobSpec, *, durable: bool = False) -> JobRef:
        """Put a job in; the same id again changes nothing."""
        return self.enqueue_many([spec], durable=durable)[0]

    def enqueue_many(self, specs: Sequence[JobSpec], *, durable: bool = False) -> list[JobRef]:
        """Put jobs in, in their order; a thousand in one step. One may depend on an earlier one of them.

        `durable` waits, two seconds at most, until they are on the server's disk (or with a replica); each JobRef says.
        """
        commands = producer.commands(specs, self.keys)
        with reaching():
            made = [one for command in commands for one in self._line.run(producer.ENQUEUE, command)]
            kept = self.kept() if durable and commands else None
        return producer.refs(specs, made, kept)

    def kept(self) -> bool:
        """Whether all that was written so far is on the server's disk, or with a replica."""
        # A command of its own in front: what is waited for is all that the server wrote up to it.
        pipeline = self.connection.pipeline(transaction=False)
        pipeline.ping()
        pipeline.execute_command("WAITAOF", 1, 0, DURABLE_MILLISECONDS)  # type: ignore[no-untyped-call]
        try:
            answer: Any = pipeline.execute()[-1]
            return bool(answer[0])
        except ResponseError:  # before 7.2, or without an append-only file
            pipeline = self.connection.pipeline(transaction=False)
            pipeline.ping()
            pipeline.execute_command("WAIT", 1, DURABLE_MILLISECONDS)  # type: ignore[no-untyped-call]
            return bool(pipeline.execute()[-1])

    def ensure(self, specs: Sequence[JobSpec]) -> list[JobRef]:
        """Enqueue what is not there, and anew what ended without success or waits for what did."""
        reached(revival.clear_way, self.connection, specs)
        return self.enqueue_many(specs)

    def on_their_way(self, specs: Sequence[JobSpec]) -> bool:
        """Whether jobs that follow one another will end without anybody's help, and some have not yet."""
        return reached(revival.on_their_way, self.connection, specs)

    def forget(self, job_ids: Iterable[str]) -> int:
        """Delete finished jobs with their results; how many there were."""
        return reached(revival.forget, self.connection, job_ids)

    def outcome(self, job_id: str, seconds: float) -> Outcome:
        return reached(waiting.outcome, self.connection, checked(job_id), seconds)

    def status(self, job_id: str) -> JobInfo:
        return reached(inspect.status, self.connection, checked(job_id))

    def cancel(self, job_id: str, *, unless_shared: bool = False) -> bool:
        return reached(control.cancel, self.connection, checked(job_id), unless_shared=unless_shared)

    def answer(self, job_id: str, answers: Mapping[str, Any]) -> list[str]:
        return reached(control.answer, self.connection, checked(job_id), answers, self.keys)

    def retry(self, job_id: str) -> JobInfo:
        reached(control.retry, self.connection, checked(job_id))
        return self.status(job_id)

    def list(
        self, *, project: str | None = None, status: JobStatus | None = None, queue: str | None = None, limit: int = 50
    ) -> list[JobInfo]:
        named = None if status is None else status.value
        return reached(listing.list_jobs, self.connection, Wanted(project, named, None, queue, limit))

    def counts(self) -> dict[str, dict[str, int]]:
        return reached(inspect.counts, self.connection)

    def sweep(self, days: float) -> int:
        return reached(sweep.sweep, self.connection, days)

    def workers(self) -> Sequence[dict[str, Any]]:
        return reached(inspect.workers, self.connection)

    def pause(self, queue: str, reason: str, by: str = "") -> None:
        return reached(control.pause, self.connection, queue, reason, by)

    def resume(self, queue: str) -> None:
        return reached(control.resume, self.connection, queue)

    def limit(self, subject: Subject, name: str, bound: Limit | None) -> None:
        return reached(control.limit, self.connection, subject, name, bound)

    def drain(self, host: str, by: str = "") -> None:
        return reached(control.drain, self.connection, host, by)

    def undrain(self, host: str) -> None:
        return reached(control.undrain, self.connection, host)

    def controls(self) -> Controls:
        return reached(control.controls, self.connection)

    def fleet(self) -> dict[str, Any]:
        return reached(fleet.fleet, self.connection)

    def held_by(self, host: str) -> int:
        return reached(fleet.held_by, self.connection, host)

    def why(self, job_id: str) -> dict[str, Any]:
        return reached(whereabouts.why, self.connection, checked(job_id))


class AsyncJobQueue:
    """The same seam for an event loop: enqueueing and waiting in the loop itself, the rest in threads."""

    def __init__(self, blocking: JobQueue, connection: AsyncRedis) -> None:
        self._blocking = blocking
        self._connection = connection
        self._replies = waiting.Replies(connection)

    async def enqueue(self, spec: JobSpec, *, durable: bool = False) -> JobRef:
        return (await self.enqueue_many([spec], durable=durable))[0]

    async def enqueue_many(self, specs: Sequence[JobSpec], *, durable: bool = False) -> list[JobRef]:
        """Put jobs in; their ends will be told to this loop. `durable` as in JobQueue."""
        commands = producer.commands(specs, self._blocking.keys, self._replies.channel)
        with reaching():
            await self._replies.listen()
            self._replies.expect(spec.id for spec in specs)
            made = [one for command in commands for one in await producer.ENQUEUE.run_async(self._connection, command)]
            kept = await asyncio.to_thread(self._blocking.kept) if durable and commands else None
        refs = producer.refs(specs, made, kept)
        self._replies.forget(ref.id for ref in refs if not ref.created)  # its end is told to who made it
        return refs

    async def outcome(self, job_id: str, seconds: float) -> Outcome:
        with reaching():
            return await self._replies.outcome(checked(job_id), seconds)

    async def status(self, job_id: str) -> JobInfo:
        with reaching():
            pipeline = self._connection.pipeline()
            inspect.ask_state(pipeline, checked(job_id))
            return inspect.read_state(job_id, await pipeline.execute())[0]

    def hearing(self, job_id: str, ear: waiting.Ear) -> AbstractContextManager[None]:
        """Within, the ear hears what is told of a job that this loop enqueued, or watches."""
        return self._replies.hearing(job_id, ear)

    async def watch(self, job_id: str) -> None:
        """Have it told to this loop what becomes of a job."""
        with reaching():
            await self._replies.watch(checked(job_id))

    def release(self) -> None:
        """End all waits in this loop, and let none begin."""
        self._replies.release()

    async def ended(self, job_id: str, seconds: float) -> bool:
        """Wait for a job's end for at most so long, whatever it asks meanwhile; whether it has ended."""
        over = asyncio.Event()

        def hear(word: str, _text: str) -> None:
            if word == "" or JobStatus.is_end(word):
                over.set()

        with self.hearing(job_id, hear):
            await self.watch(job_id)
            with suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), seconds)
        return over.is_set()

    async def steps(self, job_id: str, after: int) -> tuple[int, list[str]]:
        """The number of the last step of a job's progress, and the steps after that one, as JSON."""
        with reaching():
            pipeline = self._connection.pipeline()
            pipeline.hget(inspect.job_key(checked(job_id)), "ltmc_steps")
            pipeline.lrange(keys.key(keys.INSTALLATION, "steps", job_id), 0, -1)
            number, kept = await pipeline.execute()
        last = int(number or 0)
        return last, [step.decode() for step in kept[max(0, len(kept) - (last - after)) :]] if last > after else []

    async def cancel(self, job_id: str, *, unless_shared: bool = False) -> bool:
        return await asyncio.to_thread(self._blocking.cancel, job_id, unless_shared=unless_shared)

    async def answer(self, job_id: str, answers: Mapping[str, Any]) -> list[str]:
        return await asyncio.to_thread(self._blocking.answer, job_id, answers)

    async def retry(self, job_id: str) -> JobInfo:
        return await asyncio.to_thread(self._blocking.retry, job_id)

    async def list(self, wanted: Wanted) -> list[JobInfo]:
        return await asyncio.to_thread(reached, listing.list_jobs, self._blocking.connection, wanted)

    async def counts(self) -> dict[str, dict[str, int]]:
        return await asyncio.to_thread(self._blocking.counts)

    async def workers(self) -> Sequence[dict[str, Any]]:
        return await asyncio.to_thread(self._blocking.workers)
