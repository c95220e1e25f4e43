"""What can be called and what runs: Tool, Question, JobKind. A function is read once, when it is declared."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, TypeVar, get_type_hints

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match
from pydantic import BaseModel, ConfigDict, TypeAdapter, create_model

from ltmc_jobs.errors import InvalidArguments, UnknownMethod

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
class Form:
    """What a caller sees of something callable: name, words, schemas."""

    name: str
    module: str
    description: str
    input_schema: dict[str, Any]
    output_schema: dict[str, Any]
    reads_only: bool
    validator: Draft202012Validator = field(repr=False, compare=False)
    model: type[BaseModel] = field(repr=False, compare=False)

    def accept(self, arguments: Any) -> dict[str, Any]:
        """The arguments as the function takes them; InvalidArguments names the field that breaks the schema."""
        error = best_match(self.validator.iter_errors(arguments))
        if error is not None:
            raise self._refusal(error)
        own = {name: value for name, value in arguments.items() if name in self.model.model_fields}
        # JSON Schema calls 5.0 an integer; the model makes it one.
        return self.model.model_validate(own).model_dump(mode="json", exclude_unset=True)

    def _refusal(self, error: ValidationError) -> InvalidArguments:
        where = ".".join(str(part) for part in error.absolute_path)
        instance: Any = error.instance
        if error.validator == "required":
            required: Any = error.validator_value
            missing = next(name for name in required if name not in instance)
            return InvalidArguments(f"{self.name}: {missing} is required", field=missing)
        if error.validator == "additionalProperties":
            extra = min(set(instance) - set(self.input_schema["properties"]))
            known = ", ".join(self.input_schema["properties"])
            return InvalidArguments(f"{self.name} has no argument {extra!r}; it has {known}", field=extra)
        shown = error.message if len(error.message) <= 200 else f"…{error.message[-200:]}"
        return InvalidArguments(f"{self.name}: {where or 'arguments'}: {shown}", field=where)


@dataclass(frozen=True, kw_only=True)
class Tool:
    """A job that callers may ask for: its form, its kind, and what it touches."""

    form: Form
    kind: JobKind
    tiers: tuple[Tier, ...]
    cache: Cache | None = None
    follows: tuple[str, ...] = ()  # names of the jobs that a call leaves behind, in their order


@dataclass(frozen=True, kw_only=True)
class Question:
    """Something that the front end answers at once, without a job."""

    form: Form
    function: Callable[..., Any]


_kinds: dict[str, JobKind] = {}
_callables: dict[str, Tool | Question] = {}
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
        return _callables[name]
    except KeyError:
        raise UnknownMethod(f"there is no tool called {name!r}; the list of tools names them all", name=name) from None


def tools() -> Iterator[Tool]:
    """All tools, in the order of their declaration."""
    return (found for found in _callables.values() if isinstance(found, Tool))


def forms() -> Iterator[Form]:
    """Everything that callers may call, tools first."""
    return (found.form for found in sorted(_callables.values(), key=lambda found: isinstance(found, Question)))


def tool(
    *,
    queue: Queue,
    tiers: tuple[Tier, ...],
    cache: Cache | None = None,
    changes: tuple[str, ...] = (),
    follows: tuple[str, ...] = (),
    timeout_seconds: int = 300,
    retries: int = 2,
    result_ttl_seconds: int = 3600,
    executor: ExecutorName = "inline",
) -> Callable[[F], F]:
    """Declare a tool: its name, docstring, signature and return type become what every protocol shows."""

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
        form = _form(function, skip=1, reads_only=not changes, follows=follows)
        _callables[name] = Tool(form=form, kind=job_kind, tiers=tiers, cache=cache, follows=follows)
        return function

    return declare


def question(*, changes: bool = False) -> Callable[[F], F]:
    """Declare a question: an async function of (client, session, …) that is no job."""

    def declare(function: F) -> F:
        _declare(function.__name__, f"{function.__module__}.{function.__qualname__}")
        form = _form(function, skip=2, reads_only=not changes, follows=())
        _callables[function.__name__] = Question(form=form, function=function)
        return function

    return declare


def _declare(name: str, path: str) -> None:
    if _paths.setdefault(name, path) != path:
        raise ValueError(f"{name} is declared twice: as {_paths[name]} and as {path}")


def _missing(function: Callable[..., Any], what: str) -> Any:
    raise ValueError(f"{function.__module__}.{function.__name__} needs {what}")


def _form(function: Callable[..., Any], *, skip: int, reads_only: bool, follows: tuple[str, ...]) -> Form:
    parameters = list(inspect.signature(function).parameters.values())
    # The leading parameters are the platform's; their types are not importable here, and not shown.
    given = {parameter.name: Any for parameter in parameters[:skip]}
    annotations = {**function.__annotations__, **given}
    function_view = type("", (), {"__annotations__": annotations, "__module__": function.__module__})
    hints = get_type_hints(function_view, globalns=getattr(function, "__globals__", {}), include_extras=True)
    returned = hints.pop("return", None) or _missing(function, "a return type")
    fields: dict[str, Any] = {
        parameter.name: (
            hints.get(parameter.name) or _missing(function, f"a type for {parameter.name}"),
            ... if parameter.default is inspect.Parameter.empty else parameter.default,
        )
        for parameter in parameters[skip:]
    }
    model = create_model(function.__name__, __config__=ConfigDict(extra="forbid"), **fields)
    schema = _plain(model.model_json_schema())
    if follows:
        schema["properties"]["wait_for"] = {
            "enum": ["recorded", *follows],
            "default": "recorded",
            "description": "Answer when this has happened (or when the wait is over)",
        }
    return Form(
        name=function.__name__,
        module=function.__module__.rsplit(".", 1)[-1],
        description=inspect.getdoc(function) or _missing(function, "a docstring"),
        input_schema=schema,
        output_schema=TypeAdapter(returned).json_schema(mode="serialization"),
        reads_only=reads_only,
        validator=Draft202012Validator(schema),
        model=model,
    )


def _plain(schema: dict[str, Any]) -> dict[str, Any]:
    """Without pydantic's titles, which say nothing that the name doesn't."""
    for part in schema.get("properties", {}).values():
        part.pop("title", None)
    schema.pop("title", None)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object", "properties": {}, **schema}
