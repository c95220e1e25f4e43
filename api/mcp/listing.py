"""What MCP's hosts and models read before they call: the instructions, and each tool with its schemas."""

from __future__ import annotations

from typing import Any

import mcp_types as types

from api.mcp.blocks import gives_blocks
from ltmc_jobs import registry
from ltmc_jobs.form import Form
from ltmc_jobs.registry import Question, Queue, Tool

INSTRUCTIONS = """\
Long-term memory that outlives this conversation, shared by all who work in the same project.

Remember: store_memory(file_name, content) keeps a document: notes, decisions, code, what a user told you. The same \
file_name again makes a new version, so choose names that you would choose again. Recall: retrieve_memory(query) finds \
passages by meaning; ask in plain words, and do so before you say that you don't know.

A stored document can be found by its words at once, and by its meaning a moment later, for which store_memory waits \
up to 2 s. With wait_for="searchable" it waits as long as it takes.

Every call is a job in a queue. Most answer within the wait (20 s; _meta "ltmc/wait" sets it, in seconds, 0 to 45). \
One that takes longer answers with {"job": {"job_id": ...}}: that is no failure and the job goes on, so don't call the \
tool again. Call job_result(job_id), which waits and gives what the call would have given. job_status says where a job \
stands, job_cancel stops one, job_list shows what there is. One that asks (status input_required) goes on after \
job_answer.

A refused call names the field that is wrong: correct it and call again. An error with "retry": true may pass by \
itself: wait a little, then try again. When you must repeat a call whose answer was lost, send the same _meta \
"ltmc/idempotencyKey" with both: it is then one job. Another call needs another key.
"""

CANCEL = "job_cancel"
JOB = {
    "type": "object",
    "description": "The handle of a job that goes on; the result comes from job_result",
    "properties": {
        "job_id": {"type": "string"},
        "status": {"type": "string"},
        "tool": {"type": "string"},
        "next": {"type": "string"},
        "reason": {"type": "string"},
        "poll_after_ms": {"type": "integer"},
        "questions": {"type": "object", "description": "What it asks, by the keys that job_answer takes"},
    },
    "required": ["job_id", "status", "tool"],
}
SUCCESS = {"success": {"const": True}}
ANSWER = {
    "job_id": {"type": "string"},
    "job": JOB,
    "jobs": {
        "type": "object",
        "description": "Ids of the jobs that follow, by what is true when they end",
        "additionalProperties": {"type": "string"},
    },
    "cached": {"type": "boolean"},
    "warning": {"type": "string"},
}
OPENED = ("title", "properties", "required", "additionalProperties")  # what an answer adds to, or says otherwise


def listed(form: Form) -> types.Tool:
    """A tool as tools/list shows it."""
    found = registry.find(form.name)
    reaches_out = isinstance(found, Tool) and found.kind.queue in (Queue.LLM, Queue.WEBHOOKS)
    return types.Tool(
        name=form.name,
        title=form.name.replace("_", " ").capitalize(),
        description=form.description,
        input_schema=form.input_schema,
        output_schema=None if gives_blocks(form) else output_schema(form, is_tool=isinstance(found, Tool)),
        annotations=types.ToolAnnotations(
            read_only_hint=form.reads_only,
            idempotent_hint=form.reads_only or isinstance(found, Question) or found.idempotent,
            destructive_hint=form.name == CANCEL or (isinstance(found, Tool) and found.destructive),
            open_world_hint=reaches_out,
        ),
    )


def as_2025(tool: types.Tool) -> types.Tool:
    """The same for clients of before 2026-07-28, which ask for tasks themselves."""
    if isinstance(registry.find(tool.name), Question):
        return tool  # answered at once
    return tool.model_copy(update={"execution": types.ToolExecution(task_support="optional")})


def output_schema(form: Form, *, is_tool: bool) -> dict[str, Any]:
    """The result's schema with what every answer has; for a tool, either the result or its job's handle."""
    result = {name: value for name, value in form.output_schema.items() if name not in OPENED}
    properties = {name: _untitled(value) for name, value in form.output_schema.get("properties", {}).items()}
    required = form.output_schema.get("required", [])
    if not is_tool:
        return result | {"type": "object", "properties": SUCCESS | properties, "required": ["success", *required]}
    # A host refuses a handle that the schema does not admit.
    either = [{"required": required}, {"required": ["job"]}]
    return result | {
        "type": "object",
        "properties": SUCCESS | ANSWER | properties,
        "required": ["success"],
        "anyOf": either,
    }


def _untitled(schema: Any) -> Any:
    return {name: value for name, value in schema.items() if name != "title"} if isinstance(schema, dict) else schema
