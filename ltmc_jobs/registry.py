"""What can be called and what runs: Tool, Question, JobKind. A function is read once, when it is declared."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal, TypeVar

from ltmc_jobs.errors import UnknownMethod
from ltmc_jobs.form import RECORDED, Form, form_of

F = TypeVar("F", bound=Callable[..., Any])


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


@dataclass(frozen=True, kw_only=True)
class JobKind:
    """A function that workers may run, by name, and how it is run."""

    name: str
    path: str  # dotted, as RQ's dashboards show it
    queue: Queue
    timeout_seconds: int = 300
    retries: int = 2  # runs again after a worker's death or an error worth a retry
    result_ttl_seconds: int = 3600
    failure_ttl_seconds: int = 86_400
    changes: tuple[str, ...] = ()
    executor: ExecutorName = "inline"
    batch: int = 1  # more: its function takes a list of services and a list of arguments, up to so many at once
    retry_seconds: float | None = None  # the first pause before a retry; None: the error's own
    retry_on: tuple[type[Exception], ...] = ()  # errors worth a retry, besides those that say so themselves

    def __post_init__(self) -> None:
        _declare(self.name, self.path)
        _kinds[self.name] = self


@dataclass(frozen=True, kw_only=True)
class Tool:
    """A job that callers may ask for: its form, its kind, and what it touches."""

    form: Form
    kind: JobKind
    tiers: tuple[Tier, ...]
    cache: Cache | None = None
    follows: tuple[str, ...] = ()  # names of the jobs that a call leaves behind, in their order
    awaits: str = RECORDED  # what a call that does not say waits for, for AWAIT_SECONDS at most
    destructive: bool = False  # it may take away what was there
    idempotent: bool = False  # the same call again changes nothing more
    grace_seconds: float = 1.0  # how long a caller that takes a task's handle is kept waiting for the result itself
    is_shown: bool = True  # False: called by name, and in no list of tools (what stands behind a resource or a prompt)


@dataclass(frozen=True, kw_only=True)
class Question:
    """Something that the front end answers at once, without a job."""

    form: Form
    function: Callable[..., Any]


_kinds: dict[str, JobKind] = {}
_callables: dict[str, Tool | Question] = {}
_aliases: dict[str, str] = {}
_paths: dict[str, str] = {}


def kind(name: str) -> JobKind:
    """The declared job kind of this name."""
    try:
        return _kinds[name]
    except KeyError:
        raise UnknownMethod(f"no tool or job kind is called {name!r}", name=name) from None


def kinds_at(path: str) -> list[JobKind]:
    """The declared job kinds that run the function of this dotted path."""
    return [kind for kind in _kinds.values() if kind.path == path]


def find(name: str) -> Tool | Question:
    """What callers may call by this name."""
    try:
        return _callables[_aliases.get(name, name)]
    except KeyError:
        raise UnknownMethod(f"there is no tool called {name!r}; the list of tools names them all", name=name) from None


def tools() -> Iterator[Tool]:
    """All tools, in the order of their declaration."""
    return (found for found in _callables.values() if isinstance(found, Tool))


def forms() -> Iterator[Form]:
    """Everything that callers are shown, tools first."""
    shown = [found for found in _callables.values() if isinstance(found, Question) or found.is_shown]
    return (found.form for found in sorted(shown, key=lambda found: isinstance(found, Question)))


def tool(
    *,
    queue: Queue = Queue.DEFAULT,
    tiers: tuple[Tier, ...] = (),
    cache: Cache | None = None,
    changes: tuple[str, ...] = (),
    follows: tuple[str, ...] = (),
    timeout_seconds: int = 300,
    retries: int = 2,
    result_ttl_seconds: int = 3600,
    executor: ExecutorName = "inline",
    awaits: str = RECORDED,
    aliases: Mapping[str, str] | None = None,
    also_named: tuple[str, ...] = (),
    destructive: bool = False,
    idempotent: bool = False,
    grace_seconds: float = 1.0,
    is_shown: bool = True,
) -> Callable[[F], F]:
    """Declare a tool: its name, docstring, signature and return type become what every protocol shows.

    `aliases` are older names of arguments, `also_named` older names of the tool: accepted, and not shown.
    """

    def declare(function: F) -> F:
        name = function.__name__
        if cache and changes:
            raise ValueError(f"{name}: a tool that changes something cannot be cached")
        job_kind = JobKind(
            name=name,
            path=f"{function.__module__}.{function.__qualname__}",
            queue=Queue(queue),
            timeout_seconds=timeout_seconds,
            retries=retries,
            result_ttl_seconds=result_ttl_seconds,
            changes=changes,
            executor=executor,
        )
        form = form_of(function, skip=1, reads_only=not changes, follows=follows, awaits=awaits, aliases=aliases)
        _callables[name] = Tool(
            form=form,
            kind=job_kind,
            tiers=tiers,
            cache=cache,
            follows=follows,
            awaits=awaits,
            destructive=destructive,
            idempotent=idempotent,
            grace_seconds=grace_seconds,
            is_shown=is_shown,
        )
        for alias in also_named:
            _declare(alias, job_kind.path)
            _aliases[alias] = name
        return function

    return declare


def question(*, changes: bool = False) -> Callable[[F], F]:
    """Declare a question: an async function of (client, session, …) that is no job."""

    def declare(function: F) -> F:
        _declare(function.__name__, f"{function.__module__}.{function.__qualname__}")
        form = form_of(function, skip=2, reads_only=not changes)
        _callables[function.__name__] = Question(form=form, function=function)
        return function

    return declare


def _declare(name: str, path: str) -> None:
    if _paths.setdefault(name, path) != path:
        raise ValueError(f"{name} is declared twice: as {_paths[name]} and as {path}")
