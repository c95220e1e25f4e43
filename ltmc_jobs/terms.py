"""The terms in which a tool is declared: Queue, CallQueue, Tier, Cache, ExecutorName, Options."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal, TypedDict, get_args

# Where a job runs in its worker process: on the main thread, one of a few threads, the event loop (a coroutine
# function), or a process of its own (for native code and memory hogs).
ExecutorName = Literal["inline", "thread", "asyncio", "process"]


class Queue(StrEnum):
    """Where a job waits: four priorities for calls, and one queue for each need of what follows."""

    CRITICAL = "critical"
    HIGH = "high"
    DEFAULT = "default"
    LOW = "low"
    EMBEDDING = "embedding"
    VECTORS = "vectors"  # one writer
    GRAPH = "graph"
    LLM = "llm"
    WEBHOOKS = "webhooks"
    MAINTENANCE = "maintenance"


# Any of them takes any call, the most urgent first; the others are for the kinds that need just them.
CallQueue = Literal["critical", "high", "default", "low"]
PRIORITIES = tuple(Queue(name) for name in get_args(CallQueue))

# Queues whose job kinds touch no file of an installation: any host with the key may work on them.
STORELESS_QUEUES = (Queue.EMBEDDING, Queue.LLM, Queue.WEBHOOKS)


class Tier(StrEnum):
    """The four tiers of memory."""

    SQLITE = "sqlite"
    REDIS = "redis"
    FAISS = "faiss"
    NEO4J = "neo4j"


@dataclass(frozen=True, slots=True)
class Cache:
    """A result may be given again while none of its topics has changed; for at most `ttl_seconds`."""

    topics: tuple[str, ...]
    ttl_seconds: int | None = None  # None: the setting's
    unless: tuple[str, ...] = ()  # arguments that ask for an effect: with one of them the tool is always run


class Options(TypedDict, total=False):
    """What `@tool` may be told; all of it has a default."""

    queue: Queue | CallQueue
    tiers: tuple[Tier, ...]  # the stores that it needs; with REDIS it is not served while Redis is away
    cache: Cache | None
    changes: tuple[str, ...]  # topics; without any the tool is shown as one that only reads
    follows: tuple[str, ...]
    awaits: str
    timeout_seconds: int
    retries: int
    result_ttl_seconds: int
    executor: ExecutorName | None
    aliases: Mapping[str, str] | None
    instead: Mapping[str, tuple[str, ...]] | None
    also_named: tuple[str, ...]
    destructive: bool
    idempotent: bool
    grace_seconds: float
    is_shown: bool
    needs: tuple[str, ...]


def executor_of(function: Callable[..., Any], wanted: ExecutorName | None) -> ExecutorName:
    """Where a function runs: as wanted, else as its kind needs it; ValueError where it cannot run there."""
    is_coroutine = inspect.iscoroutinefunction(function)
    chosen: ExecutorName = wanted or ("asyncio" if is_coroutine else "inline")
    if chosen not in get_args(ExecutorName):
        raise ValueError(
            f"{function.__name__}: {chosen!r} is no executor; there are {', '.join(get_args(ExecutorName))}"
        )
    if is_coroutine != (chosen == "asyncio"):
        raise ValueError(f'{function.__name__}: executor="asyncio" is for an async function, and only that for one')
    return chosen
