"""What MCP hosts may read or insert beside tools: Resource and Prompt, each a function whose call is a job."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import unquote

from ltmc_jobs import reading, registry
from ltmc_jobs.form import Form
from ltmc_jobs.registry import Queue, Tier, Tool

F = TypeVar("F", bound=Callable[..., Any])

RESULT_SECONDS = 60  # a look is done anew the next time
URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:\S+")
VARIABLE = re.compile(r"\{(\w+)\}")
NUMBERS = {"integer": re.compile(r"-?\d{1,18}"), "number": re.compile(r"-?\d{1,18}(\.\d{1,18})?")}


@dataclass(frozen=True, kw_only=True)
class Resource:
    """What can be read at a URI, or at all that fit a template: `{name}` in it is an argument of the function."""

    uri: str
    tool: str
    mime_type: str
    completes: Mapping[str, str]  # argument → the tool that completes it
    pattern: re.Pattern[str] = field(repr=False)

    @property
    def is_template(self) -> bool:
        return VARIABLE.search(self.uri) is not None

    def arguments(self, uri: str) -> dict[str, Any] | None:
        """What a URI says to the function; None if it is not of this resource."""
        found = self.pattern.fullmatch(uri)
        if found is None:
            return None
        return typed(form_of(self.tool), {name: unquote(value) for name, value in found.groupdict().items()})


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """Messages that a user may put into a conversation, made by a function of some texts."""

    tool: str
    completes: Mapping[str, str]

    @property
    def form(self) -> Form:
        return form_of(self.tool)


_resources: dict[str, Resource] = reading.table()
_prompts: dict[str, Prompt] = reading.table()


def resource(
    uri: str,
    *,
    mime_type: str = "text/plain",
    completes: Mapping[str, str] | None = None,
    queue: Queue = Queue.HIGH,
    tiers: tuple[Tier, ...] = (),
) -> Callable[[F], F]:
    """Declare a function as what stands at a URI: it gives a text, ResourceContents, or any result, shown as JSON.

    `completes` names, by argument, the tool that completes what a user has typed: `(typed, limit)` to Names.
    """

    def declare(function: F) -> F:
        with reading.declaring(function):
            form = _declared(function, queue, tiers)
            if not URI.fullmatch(uri):
                raise ValueError(f"{form.name}: {uri!r} is no URI; one begins with its scheme, as notes://")
            if uri in _resources:
                raise ValueError(f"{form.name}: {uri} is declared twice: {_resources[uri].tool} stands there")
            names = VARIABLE.findall(uri)
            if sorted(names) != sorted(form.input_schema["properties"]):
                raise ValueError(f"{form.name}: its arguments are not the variables of {uri}")
            pattern = "".join(
                f"(?P<{part}>.+)" if at % 2 else re.escape(part) for at, part in enumerate(VARIABLE.split(uri))
            )
            _resources[uri] = Resource(
                uri=uri, tool=form.name, mime_type=mime_type, completes=completes or {}, pattern=re.compile(pattern)
            )
        return function

    return declare


def prompt(
    *, completes: Mapping[str, str] | None = None, queue: Queue = Queue.HIGH, tiers: tuple[Tier, ...] = ()
) -> Callable[[F], F]:
    """Declare a function as a prompt: it gives a text, a Content or PromptMessages. `completes` as for a resource."""

    def declare(function: F) -> F:
        with reading.declaring(function):
            form = _declared(function, queue, tiers)
            _prompts[form.name] = Prompt(tool=form.name, completes=completes or {})
        return function

    return declare


def _declared(function: Callable[..., Any], queue: Queue, tiers: tuple[Tier, ...]) -> Form:
    """The form of what is a tool now, though no list shows it."""
    return registry.declare_tool(
        function, queue=queue, tiers=tiers, is_shown=False, idempotent=True, result_ttl_seconds=RESULT_SECONDS
    ).form


def resources() -> Iterator[Resource]:
    """All resources, in the order of their declaration."""
    return iter(_resources.values())


def prompts() -> Iterator[Prompt]:
    """All prompts, in the order of their declaration."""
    return iter(_prompts.values())


def resource_at(uri: str) -> tuple[Resource, dict[str, Any]] | None:
    """What stands at a URI, with the arguments that it says; one without variables goes before templates."""
    for found in sorted(_resources.values(), key=lambda resource: resource.is_template):
        arguments = found.arguments(uri)
        if arguments is not None:
            return found, arguments
    return None


def find_resource(uri: str) -> Resource | None:
    """The resource that was declared with exactly this URI or template."""
    return _resources.get(uri)


def find_prompt(name: str) -> Prompt | None:
    """The prompt of this name."""
    return _prompts.get(name)


def form_of(name: str) -> Form:
    """The form of the tool behind an offer."""
    found = registry.find(name)
    assert isinstance(found, Tool)
    return found.form


def typed(form: Form, texts: Mapping[str, str]) -> dict[str, Any]:
    """Arguments that came as texts, as numbers and truth values where the form wants them; else as they are."""
    return {
        name: _typed(form.input_schema["properties"].get(name, {}).get("type"), text) for name, text in texts.items()
    }


def _typed(wanted: Any, text: str) -> Any:
    if wanted == "boolean" and text in ("true", "false"):
        return text == "true"
    if wanted in NUMBERS and NUMBERS[wanted].fullmatch(text):
        return int(text) if wanted == "integer" else float(text)
    return text
