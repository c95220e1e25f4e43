"""What can be called and what runs: Tool, Question, JobKind. A function is read once, when it is declared."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, Unpack, overload

from ltmc_jobs import reading
from ltmc_jobs.errors import UnknownMethod
from ltmc_jobs.form import RECORDED, Form, form_of
from ltmc_jobs.terms import STORELESS_QUEUES, Cache, CallQueue, ExecutorName, Options, Queue, Tier, executor_of

__all__ = [
    "STORELESS_QUEUES",
    "Cache",
    "ExecutorName",
    "JobKind",
    "Question",
    "Queue",
    "Tier",
    "Tool",
    "declare_tool",
    "find",
    "forms",
    "kind",
    "kinds_at",
    "question",
    "tool",
    "tool_of",
    "tools",
]

F = TypeVar("F", bound=Callable[..., Any])

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")  # what every client takes
SERVICES = ("services", "_services")  # a first parameter of this name is given the worker's services


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
    needs: tuple[str, ...] = ()  # what an MCP client must have declared: sampling, elicitation, roots, tasks
    takes_services: bool = True


@dataclass(frozen=True, kw_only=True)
class Question:
    """Something that the front end answers at once, without a job."""

    form: Form
    function: Callable[..., Any]


_kinds: dict[str, JobKind] = reading.table()
_callables: dict[str, Tool | Question] = reading.table()
_aliases: dict[str, str] = reading.table()
_paths: dict[str, str] = reading.table()


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


def tool_of(kind: JobKind) -> Tool | None:
    """The tool that a job kind is of; None for one that callers cannot call."""
    found = _callables.get(kind.name)
    return found if isinstance(found, Tool) else None


@overload
def tool(function: F, /) -> F: ...
@overload
def tool(**options: Unpack[Options]) -> Callable[[F], F]: ...
def tool(function: Any = None, /, **options: Any) -> Any:
    """Declare a tool: its name, docstring, signature and return type become what every protocol shows.

    `aliases` are older names of arguments, `also_named` older names of the tool: accepted, and not shown. Without an
    `executor` a coroutine function runs on the event loop, any other on the main thread.
    """

    def declare(function: F) -> F:
        with reading.declaring(function):
            declare_tool(function, **options)
        return function

    return declare if function is None else declare(function)


def declare_tool(
    function: Callable[..., Any],
    *,
    queue: Queue | CallQueue = Queue.DEFAULT,
    tiers: tuple[Tier, ...] = (),
    cache: Cache | None = None,
    changes: tuple[str, ...] = (),
    follows: tuple[str, ...] = (),
    timeout_seconds: int = 300,
    retries: int = 2,
    result_ttl_seconds: int = 3600,
    executor: ExecutorName | None = None,
    awaits: str = RECORDED,
    aliases: Mapping[str, str] | None = None,
    instead: Mapping[str, tuple[str, ...]] | None = None,
    also_named: tuple[str, ...] = (),
    destructive: bool = False,
    idempotent: bool = False,
    grace_seconds: float = 1.0,
    is_shown: bool = True,
    needs: tuple[str, ...] = (),
) -> Tool:
    """Declare a tool, with options as `tool` has them. Raises for what is wrong with it."""
    name = _named(function)
    if cache and changes:
        raise ValueError(f"{name}: a tool that changes something cannot be cached")
    place = Queue(queue)
    takes_services = next(iter(inspect.signature(function).parameters), "") in SERVICES
    form = form_of(
        function,
        skip=int(takes_services),
        reads_only=not changes,
        follows=follows,
        awaits=awaits,
        aliases=aliases,
        instead=instead,
    )
    kind = JobKind(
        name=name,
        path=f"{function.__module__}.{function.__qualname__}",
        queue=place,
        timeout_seconds=timeout_seconds,
        retries=retries,
        result_ttl_seconds=result_ttl_seconds,
        changes=changes,
        executor=executor_of(function, executor),
    )
    made = _callables[name] = Tool(
        form=form,
        kind=kind,
        tiers=tiers,
        cache=cache,
        follows=follows,
        awaits=awaits,
        destructive=destructive,
        idempotent=idempotent,
        grace_seconds=grace_seconds,
        is_shown=is_shown,
        needs=needs,
        takes_services=takes_services,
    )
    for alias in also_named:
        _declare(alias, kind.path)
        _aliases[alias] = name
    return made


def _named(function: Callable[..., Any]) -> str:
    """The name of a function that workers can find again."""
    if not inspect.isfunction(function):
        raise ValueError(f"{function!r}: only a function can be a tool")
    name = function.__name__
    if not NAME.fullmatch(name):
        raise ValueError(f"{name}: a tool's name is a letter and up to 63 letters, digits and underscores, all ASCII")
    if reading.file is not None:
        if function.__qualname__ != name:
            raise ValueError(
                f"{name} stands inside of {function.__qualname__.rpartition('.')[0]}; workers find only "
                "what stands at the top of its file"
            )
        if name in reading.file.names:
            raise ValueError(f"{name} is declared twice in this file; the first one counts")
        reading.file.names.add(name)
    return name


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
