"""What can be called and what runs: Tool, JobKind, @tool. A function is read once, when it is declared."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, get_type_hints

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from pydantic import ConfigDict, TypeAdapter, create_model

from ltmc_jobs.errors import InvalidArguments, UnknownMethod


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

    def __post_init__(self) -> None:
        if self.name in _declared and _declared[self.name].path != self.path:
            raise ValueError(f"{self.name} is declared twice: {_declared[self.name].path} and {self.path}")
        _declared[self.name] = self


@dataclass(frozen=True, kw_only=True)
class Tool(JobKind):
    """A job kind that callers may call, with its schemas."""

    description: str
    module: str
    tiers: tuple[Tier, ...]
    input_schema: dict[str, Any]
    output_schema: dict[str, Any]
    cache: Cache | None = None
    follows: tuple[str, ...] = ()  # names of the jobs that a call leaves behind, in their order
    wait_for: str | None = None  # the one of them that a caller waits for unless it says otherwise
    _validator: Draft202012Validator = field(repr=False, compare=False)

    def check(self, arguments: Any) -> None:
        """Raise InvalidArguments, naming the field, unless the arguments fit the published schema."""
        error = best_match(self._validator.iter_errors(arguments))
        if error is None:
            return
        where = ".".join(str(part) for part in error.absolute_path)
        if error.validator == "required":
            missing = next(name for name in error.validator_value if name not in error.instance)
            where = f"{where}.{missing}".lstrip(".")
        if error.validator == "additionalProperties":
            extra = sorted(set(error.instance) - set(error.schema.get("properties", {})))
            where = f"{where}.{extra[0]}".lstrip(".")
            raise InvalidArguments(f"{self.name} has no argument {extra[0]!r}", field=where)
        shown = error.message if len(error.message) <= 200 else f"{error.message[:200]}…"
        raise InvalidArguments(f"{self.name}: {where or 'arguments'}: {shown}", field=where)


_declared: dict[str, JobKind] = {}


def kind(name: str) -> JobKind:
    """The declared job kind of this name."""
    try:
        return _declared[name]
    except KeyError:
        raise UnknownMethod(f"no tool or job kind is called {name!r}", name=name) from None


def tool_named(name: str) -> Tool:
    """The tool of this name."""
    found = _declared.get(name)
    if not isinstance(found, Tool):
        raise UnknownMethod(f"there is no tool called {name!r}; GET /tools lists them", name=name)
    return found


def tools() -> Iterator[Tool]:
    """All declared tools, in the order of their declaration."""
    return (kind for kind in _declared.values() if isinstance(kind, Tool))


def kinds() -> Iterator[JobKind]:
    """Everything that workers may run."""
    return iter(_declared.values())


def tool(
    *,
    queue: Queue,
    tiers: tuple[Tier, ...],
    cache: Cache | None = None,
    changes: tuple[str, ...] = (),
    follows: tuple[str, ...] = (),
    wait_for: str | None = None,
    timeout_seconds: int = 300,
    retries: int = 2,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Declare a tool; its name, docstring, signature and return type become what every protocol shows."""

    def declare(function: Callable[..., Any]) -> Callable[..., Any]:
        if cache and changes:
            raise ValueError(f"{function.__name__}: a tool that changes something cannot be cached")
        if wait_for is not None and wait_for not in follows:
            raise ValueError(f"{function.__name__}: wait_for names {wait_for!r}, which does not follow")
        Tool(
            name=function.__name__,
            path=f"{function.__module__}.{function.__qualname__}",
            module=function.__module__.rsplit(".", 1)[-1],
            description=inspect.getdoc(function) or _missing(function, "a docstring"),
            queue=Queue(queue),
            tiers=tiers,
            cache=cache,
            changes=changes,
            follows=follows,
            wait_for=wait_for,
            timeout_seconds=timeout_seconds,
            retries=retries,
            **_schemas(function, follows, wait_for),
        )
        return function

    return declare


def _missing(function: Callable[..., Any], what: str) -> Any:
    raise ValueError(f"{function.__module__}.{function.__name__} needs {what}")


def _schemas(function: Callable[..., Any], follows: tuple[str, ...], wait_for: str | None) -> dict[str, Any]:
    hints = get_type_hints(function, include_extras=True)
    returned = hints.pop("return", None) or _missing(function, "a return type")
    parameters = list(inspect.signature(function).parameters.values())[1:]  # the first is `services`
    fields: dict[str, Any] = {
        parameter.name: (
            hints.get(parameter.name) or _missing(function, f"a type for {parameter.name}"),
            ... if parameter.default is inspect.Parameter.empty else parameter.default,
        )
        for parameter in parameters
    }
    model = create_model(function.__name__, __config__=ConfigDict(extra="forbid"), **fields)
    schema = _plain(model.model_json_schema())
    if follows:
        schema["properties"]["wait_for"] = {
            "enum": ["recorded", *follows],
            "default": wait_for or "recorded",
            "description": "Answer when this has happened (or when the wait is over)",
        }
    return {
        "input_schema": schema,
        "output_schema": TypeAdapter(returned).json_schema(mode="serialization"),
        "_validator": Draft202012Validator(schema),
    }


def _plain(schema: dict[str, Any]) -> dict[str, Any]:
    """Without pydantic's titles, which say nothing that the name doesn't."""
    schema.pop("title", None)
    for part in schema.get("properties", {}).values():
        part.pop("title", None)
    return {"type": "object", "properties": {}, **schema, "$schema": "https://json-schema.org/draft/2020-12/schema"}
