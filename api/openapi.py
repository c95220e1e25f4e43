"""What /openapi.json says of a route beside its path: what a call may carry, how it is answered, how refused."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from api.call_meta import NAME_LIMIT, WAIT_LIMIT
from api.mcp.listing import ANSWER, JOB, SUCCESS, output_schema
from ltmc_jobs import registry
from ltmc_jobs.form import Form
from ltmc_jobs.handling import LONGEST_TTL_SECONDS
from ltmc_jobs.registry import Queue, Tool
from ltmc_jobs.settings import PROJECT_PATTERN
from ltmc_jobs.terms import PRIORITIES

SCHEMAS = "#/components/schemas/"
JSON = "application/json"
NAME = {"type": "string", "minLength": 1, "maxLength": NAME_LIMIT, "pattern": r"^[ -~]+$"}  # what a header may hold

ERROR = {
    "type": "object",
    "properties": {
        "code": {"type": "string", "description": "One of docs/errors.md"},
        "message": {"type": "string"},
        "retry": {"type": "boolean", "description": "Whether the same call may succeed later"},
        "details": {"type": "object", "description": "`field` names the argument that is wrong"},
        "id": {"type": "string", "description": "Under which the logs have it: the request's X-Request-ID"},
    },
    "required": ["code", "message", "retry", "id"],
}
REFUSAL = {
    "type": "object",
    "properties": {"success": {"const": False}, "error": ERROR},
    "required": ["success", "error"],
}
HANDLE = {
    "type": "object",
    "properties": SUCCESS | {"job_id": {"type": "string"}, "job": JOB, "served": {"const": "locally"}},
    "required": ["success", "job_id", "job"],
}
JOB_INFO = {
    "type": "object",
    "description": "Where a job stands; its times, attempts, progress, result or error",
    "properties": {"job_id": {"type": "string"}, "name": {"type": "string"}, "status": {"type": "string"}},
    "required": ["job_id", "name", "status"],
}
RPC_ID = {"type": ["string", "number", "null"]}
RPC_REQUEST = {
    "type": "object",
    "properties": {
        "jsonrpc": {"const": "2.0"},
        "id": RPC_ID | {"description": "Comes back as it was; without it there is no answer"},
        "method": {"type": "string", "description": "tools/list, tools/call, or a tool's name"},
        "params": {"type": "object", "description": "tools/call: {name, arguments, _meta}; else the tool's arguments"},
    },
    "required": ["jsonrpc", "method"],
}
RPC_RESPONSE = {
    "type": "object",
    "properties": {
        "jsonrpc": {"const": "2.0"},
        "id": RPC_ID,
        "result": {"type": "object"},
        "error": {
            "type": "object",
            "properties": {"code": {"type": "integer"}, "message": {"type": "string"}, "data": {"type": "object"}},
            "required": ["code", "message", "data"],
        },
    },
    "required": ["jsonrpc", "id"],
    "oneOf": [{"required": ["result"]}, {"required": ["error"]}],
}
COMPONENTS = {
    "Refusal": REFUSAL,
    "Handle": HANDLE,
    "Job": JOB_INFO,
    "JsonRpcRequest": RPC_REQUEST,
    "JsonRpcResponse": RPC_RESPONSE,
}


def _told(name: str, place: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": place, "required": False, "description": description, "schema": schema}


PROJECT_NAME = {"type": "string", "pattern": PROJECT_PATTERN.pattern}
PROJECT = [
    _told("project", "query", "The project; else X-LTMC-Project, else the installation's own", PROJECT_NAME),
    _told("X-LTMC-Project", "header", "The project, where ?project= says nothing", PROJECT_NAME),
]
WAIT = _told(
    "wait",
    "query",
    "For how many seconds to wait for the result",
    {"type": "number", "minimum": 0, "maximum": WAIT_LIMIT},
)
CALLER = [
    _told("X-LTMC-Agent", "header", "The agent that calls", NAME),
    _told("X-LTMC-Session", "header", "The session that it calls in", NAME),
    _told(
        "Idempotency-Key",
        "header",
        "The same call with the same key is the same job; with other arguments it is refused",
        NAME,
    ),
    _told("priority", "query", "The queue that the call waits in", {"enum": [queue.value for queue in PRIORITIES]}),
    _told(
        "ttl_ms",
        "query",
        "How long the result is kept, in milliseconds",
        {"type": "integer", "minimum": 1, "maximum": LONGEST_TTL_SECONDS * 1000},
    ),
]


def refer(name: str) -> dict[str, Any]:
    """A reference to one of the page's schemas."""
    return {"$ref": f"{SCHEMAS}{name}"}


def answers(schema: dict[str, Any], description: str = "The result") -> dict[int | str, dict[str, Any]]:
    """What FastAPI's `responses` takes: the answer, and every refusal in its one form."""
    refused = {"content": {JSON: {"schema": refer("Refusal")}}}
    return {
        200: {"description": description, "content": {JSON: {"schema": schema}}},
        "4XX": {"description": "Refused: the call must change"} | refused,
        "5XX": {"description": "It failed; `retry` says whether to try again"} | refused,
    }


def with_handle(schema: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    """The answers of what may take longer than the caller waits."""
    location = {"description": "Where the result will be", "schema": {"type": "string"}}
    handle = {
        "description": "The job goes on",
        "content": {JSON: {"schema": refer("Handle")}},
        "headers": {"Location": location},
    }
    return answers(schema) | {202: handle}


def tool_answers(form: Form) -> dict[int | str, dict[str, Any]]:
    """How a tool's route answers."""
    is_tool = isinstance(registry.find(form.name), Tool)
    shown = output_schema(form, is_tool=False)
    beside = {name: value for name, value in ANSWER.items() if name != "job"} if is_tool else {}
    shown = shown | {"properties": {**beside, **shown.get("properties", {})}}
    schema = _hoisted(shown, form.name)
    return with_handle(schema) if is_tool or form.name == "job_result" else answers(schema)


def tool_extra(form: Form) -> dict[str, Any]:
    """What a tool's route takes: its arguments, and what a call may say beside them."""
    schema = _hoisted(form.input_schema, form.name)
    body = {"content": {JSON: {"schema": schema}}, "required": bool(schema.get("required"))}
    return {"parameters": [*PROJECT, WAIT, *CALLER], "requestBody": body}


def job_list_extra() -> dict[str, Any]:
    """What the list of jobs takes."""
    properties = registry.find("job_list").form.input_schema["properties"]
    told = [_told(name, "query", schema["description"], _typed(schema)) for name, schema in properties.items()]
    return {"parameters": [*told, *PROJECT]}


def _typed(schema: dict[str, Any]) -> dict[str, Any]:
    """A query parameter is there or not; it is never null."""
    shown = {name: value for name, value in schema.items() if name not in ("anyOf", "description", "default")}
    return shown | next((one for one in schema.get("anyOf", ()) if one.get("type") != "null"), {})


class Application(FastAPI):
    """FastAPI's application, whose page has the schemas that routes refer to."""

    def openapi(self) -> dict[str, Any]:
        """The page, made once."""
        if self.openapi_schema is None:
            schemas = super().openapi().setdefault("components", {}).setdefault("schemas", {})
            for unused in ("HTTPValidationError", "ValidationError"):  # FastAPI's own form of a refusal
                schemas.pop(unused, None)
            schemas |= COMPONENTS
            for form in registry.forms():
                for schema in (form.input_schema, form.output_schema):
                    for name, definition in schema.get("$defs", {}).items():
                        schemas[f"{form.name}.{name}"] = _hoisted(definition, form.name)
        return super().openapi()


def _hoisted(schema: Any, tool: str) -> Any:
    """The schema without definitions of its own: it refers to the page's, which bear the tool's name."""
    if isinstance(schema, list):
        return [_hoisted(part, tool) for part in schema]
    if not isinstance(schema, dict):
        return schema
    shown = {name: _hoisted(part, tool) for name, part in schema.items() if name not in ("$defs", "$schema")}
    target = schema.get("$ref")
    if isinstance(target, str) and target.startswith("#/$defs/"):
        shown["$ref"] = f"{SCHEMAS}{tool}.{target.removeprefix('#/$defs/')}"
    return shown


def queue_counts() -> dict[str, Any]:
    """Per queue: jobs by state, the age of the oldest that waits, living workers."""
    counts = {"type": "object", "additionalProperties": {"type": ["number", "null"]}}
    return {
        "type": "object",
        "properties": {
            "queues": {
                "type": "object",
                "properties": dict.fromkeys((queue.value for queue in Queue), counts),
            }
        },
        "required": ["queues"],
    }
