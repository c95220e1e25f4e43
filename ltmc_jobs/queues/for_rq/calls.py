"""A call in RQ's words (function, arguments, options) as a declared kind, named arguments and hash fields."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from rq import Retry
from rq.utils import parse_timeout

from ltmc_jobs import jobs, registry, tools
from ltmc_jobs.errors import InvalidArguments, UnknownMethod
from ltmc_jobs.registry import JobKind, Tool

DECLARED = (jobs, tools)  # importing them declares what the platform itself runs

Function = JobKind | str | Callable[..., Any]


def chosen_fields(options: dict[str, Any]) -> dict[str, Any]:
    """RQ's fields for the options that were given, taken out of them."""
    for name in ("depends_on", "on_success", "on_failure"):
        if options.pop(name, None) is not None:
            raise InvalidArguments(f"{name} is not signed, so a schedule cannot have it; write it into the function")
    fields: dict[str, Any] = {
        name: parse_timeout(value)
        for name in ("timeout", "result_ttl", "ttl", "failure_ttl")
        if (value := options.pop(name, None)) is not None
    }
    if (description := options.pop("description", None)) is not None:
        fields["description"] = description
    if options.pop("at_front", None):
        fields["enqueue_at_front"] = 1
    retry = options.pop("retry", None)
    if retry is not None:
        retry = retry if isinstance(retry, Retry) else Retry(max=retry)
        fields |= {"retries_left": retry.max, "retry_intervals": json.dumps(retry.intervals)}
    return fields


def declared_kind(func: Function) -> JobKind:
    """The declared kind of a function: given itself, its name, its dotted path, or the function."""
    if isinstance(func, JobKind):
        return func
    path = func if isinstance(func, str) else f"{func.__module__}.{func.__qualname__}"
    if "." not in path:
        with suppress(UnknownMethod):
            return registry.kind(path)
    kinds = registry.kinds_at(path)
    if len(kinds) > 1:
        kinds = [kind for kind in kinds if kind.name == path.rpartition(".")[2]]
    if len(kinds) != 1:
        raise UnknownMethod(
            f"{path} names no tool and no job kind: declare it with @tool, or as a JobKind of that path, in a module "
            "that the workers import; where several have that path, give the name"
        )
    return kinds[0]


def named_arguments(kind: JobKind, func: Function, args: Sequence[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    """All arguments by name; a tool's against its schema."""
    try:
        found = registry.find(kind.name)
    except UnknownMethod:
        found = None
    form = found.form if isinstance(found, Tool) else None
    if args:
        names = (
            list(inspect.signature(func).parameters)[_takes_services(kind) :]
            if callable(func)
            else list(form.model.model_fields if form else ())
        )
        if len(args) > len(names) or set(names[: len(args)]) & set(kwargs):
            raise InvalidArguments(f"{kind.name}: give its arguments by name (kwargs)")
        kwargs = dict(zip(names, args, strict=False)) | kwargs
    return form.accept(kwargs) if form else kwargs


def _takes_services(kind: JobKind) -> bool:
    tool = registry.tool_of(kind)
    return tool is None or tool.takes_services
