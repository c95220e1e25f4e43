"""The API reference, made from the registry and the routes: docs/api.md is its output."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any

import click

from api import jsonrpc, openapi, rest, tool_groups
from ltmc_jobs import client, registry, user_tools
from ltmc_jobs.form import Form
from ltmc_jobs.registry import Question, Tool
from ltmc_jobs.settings import Settings

assert client.tools  # declares them

INTRODUCTION = """\
# API reference

{told}.

Each is called the same way over MCP (`/mcp`, `ltmc mcp`), JSON-RPC, REST and the command line
(`ltmc store-memory --file-name … --content …`), with the same arguments, the same answer and the same errors
([errors.md](errors.md)). `GET /tools` says the same with JSON Schemas, `/openapi.json` and `/docs` show every route.

Core tools are the contract that older clients were written against, their older argument names included; cache tools
look after the cache in Redis; extras are what this platform has besides. A tool runs as a job, and its answer has
`success`, `job_id` and the fields below; what is answered at once, without a job, is marked so. An argument without a
default may be left out, unless it is required.

## Routes

| route | what |
| --- | --- |
{routes}
| GET `/health` | whether every part works; 503 when no call can be taken |
| GET `/metrics` | Prometheus metrics of the whole installation |
| GET `/` | what is served where |
| GET `/docs`, `/openapi.json` | every route with its schemas, to read and for programs |
| POST `/mcp` | MCP over streamable HTTP |
| GET `/rq` | rq-dashboard, by a one-time link (`ltmc dashboard`) |

What a call may say beside its arguments:

| REST | `_meta` of `tools/call` | what |
| --- | --- | --- |
| `?project=`, `X-LTMC-Project` | `ltmc/project` | whose memory: projects do not see each other |
| `?wait=` | `ltmc/wait` | seconds to wait for the result, 0 to 45; after them the job's handle (REST: 202) |
| `Idempotency-Key` | `ltmc/idempotencyKey` | the same call again is the same job; with other arguments it is refused |
| `X-LTMC-Agent`, `X-LTMC-Session` | `ltmc/agent`, `ltmc/session` | who calls, for the logs and the list of agents |
| `?priority=` | `ltmc/priority` | the queue to wait in: `critical`, `high`, `default` or `low` |
| `?ttl_ms=` | `ltmc/ttlMs` | milliseconds for which the result is kept |
| `X-Request-ID` | | comes back, and stands in every log line of the call |

JSON-RPC takes `?project=` and `?wait=` too. A batch holds 1 to {batch} requests, and its answers are matched by id.

"""
TAIL = "This page is made by `ltmc reference --markdown > docs/api.md`.\n"
FIRST = {"memory": 0}  # what people come for


def page() -> str:
    """The whole page, in Markdown."""
    parts = [INTRODUCTION.format(told=tool_groups.told(), routes="\n".join(_routes()), batch=jsonrpc.BATCH_LIMIT)]
    ordered = sorted(registry.forms(), key=lambda form: (FIRST.get(form.module, 1), form.module))
    for module, forms in groupby(ordered, key=lambda form: form.module):
        parts.append(f"## {module.replace('_', ' ').capitalize()}\n\n")
        parts.extend(_section(form) for form in forms)
    return "".join(parts) + TAIL


def _routes() -> Iterator[str]:
    app = openapi.Application(title="routes")
    for router in (jsonrpc.router(_no_client, "default"), rest.router(_no_client, "default")):
        app.include_router(router)
    yield "| POST `/tools/{name}` | call a tool: its arguments are the body |"
    for path, methods in app.openapi()["paths"].items():
        for method, route in methods.items():
            if not path.startswith("/tools/"):
                yield f"| {method.upper()} `{path}` | {_cell(route['summary'])} |"


def _no_client() -> Any:
    raise AssertionError("routes are listed, not called")


def _section(form: Form) -> str:
    found = registry.find(form.name)
    return (
        "\n\n".join(
            part
            for part in (
                f"### {form.name}",
                form.description,
                " · ".join(_facts(form, found)),
                _arguments(form),
                _fields(form),
            )
            if part
        )
        + "\n\n"
    )


def _facts(form: Form, found: Tool | Question) -> Iterator[str]:
    yield tool_groups.group_of(form.name)
    if isinstance(found, Question):
        yield "answered at once, without a job"
    else:
        yield f"queue `{found.kind.queue.value}`"
        if found.tiers:
            yield f"tiers {', '.join(tier.value for tier in found.tiers)}"
        if found.cache:
            yield "cached until what it reads changes"
        if found.destructive:
            yield "takes away what was there"
    yield "reads only" if form.reads_only else "changes something"


def _arguments(form: Form) -> str:
    properties = form.input_schema.get("properties", {})
    if not properties:
        return "No arguments."
    rows = ["| argument | type | default | what |", "| --- | --- | --- | --- |"]
    required, definitions = form.input_schema.get("required", ()), form.input_schema.get("$defs", {})
    for name, schema in properties.items():
        given = schema.get("default")
        default = "**required**" if name in required else "" if given is None else f"`{_literal(given)}`"
        kind = _type(schema, definitions).removesuffix(" or null")
        rows.append(f"| `{name}` | {kind} | {default} | {_cell(_words(schema))} |")
    inner = list(_parts(properties, definitions))
    rows += ["", *inner] if inner else []
    if form.aliases:
        older = ", ".join(f"`{alias}` for `{name}`" for alias, name in sorted(form.aliases.items()))
        rows.append(f"\nOlder names that are taken too: {older}.")
    return "\n".join(rows)


def _words(schema: dict[str, Any]) -> str:
    """Its description, or the one of what it may be."""
    either = [schema, *schema.get("anyOf", ())]
    return str(next((one["description"] for one in either if "description" in one), ""))


def _fields(form: Form) -> str:
    schema = form.output_schema
    definitions = schema.get("$defs", {})
    if "$ref" in schema:
        schema = definitions[schema["$ref"].rpartition("/")[2]]
    properties = schema.get("properties", {})
    if not properties:
        return ""
    shown = ", ".join(f"`{name}` ({_type(part, definitions)})" for name, part in properties.items())
    about = _cell(form.output_schema.get("description", ""))
    lines = [f"Answers: {shown}." + (f" {about}" if about else "")]
    inner = list(_parts(properties, definitions))
    return "\n".join([*lines, *(["", *inner] if inner else [])])


def _parts(properties: Any, definitions: dict[str, Any]) -> Iterator[str]:
    """A line for each definition that the properties lead to."""
    for name in sorted(_named_in(properties, definitions)):
        inner = definitions[name]
        required = inner.get("required", ())
        parts = ", ".join(f"`{part}`{'' if part in required else ' (optional)'}" for part in inner["properties"])
        yield f"- *{name}*: {parts}. {_cell(inner.get('description', ''))}".rstrip()


def _named_in(schema: Any, definitions: dict[str, Any]) -> set[str]:
    """The names of the definitions that a schema leads to."""
    found: set[str] = set()
    waiting = [schema]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            name = str(part.get("$ref", "")).rpartition("/")[2]
            if name in definitions and name not in found and "properties" in definitions[name]:
                found.add(name)
                waiting.append(definitions[name])
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part
    return found


def _type(schema: Any, definitions: dict[str, Any]) -> str:
    """A schema in a few words: its type, its bounds."""
    if not isinstance(schema, dict) or not schema:
        return "any"
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        target = definitions.get(name, {})
        return name if "properties" in target else _type(target, definitions)
    for either in ("anyOf", "oneOf"):
        if either in schema:
            return " or ".join(dict.fromkeys(_type(one, definitions) for one in schema[either]))
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{_literal(value)}`" for value in schema.get("enum", [schema.get("const")]))
    kind = schema.get("type", "any")
    if kind == "array":
        return f"list of {_type(schema.get('items', {}), definitions)}"
    return " or ".join(kind) if isinstance(kind, list) else f"{kind}{_bounds(schema)}"


def _bounds(schema: dict[str, Any]) -> str:
    low, high = schema.get("minimum", schema.get("minLength")), schema.get("maximum", schema.get("maxLength"))
    unit = " characters" if schema.get("type") == "string" else ""
    if low is None and high is None:
        return ""
    if high is None:
        return f", {low:,} or more{unit}"
    return f", {low or 0:,} to {high:,}{unit}"


def _literal(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else "null" if value is None else str(value)


def _cell(text: str) -> str:
    """Words that fit into a table's cell."""
    return " ".join(text.split()).replace("|", "\\|")


@click.command()
@click.option("--markdown", is_flag=True, help="Print docs/api.md; without it, the tools' names by group.")
def reference(markdown: bool) -> None:
    """Show the API reference: every tool with its arguments and its answer, your own among them."""
    user_tools.load(Settings.load())
    if markdown:
        click.echo(page(), nl=False)
        return
    click.echo(tool_groups.told())
    for form in sorted(registry.forms(), key=lambda form: tool_groups.group_of(form.name)):
        click.echo(f"{tool_groups.group_of(form.name):<6} {form.name:<32} {_cell(form.description.splitlines()[0])}")
