"""Each tool with minimal and full arguments, in an order in which each finds what it needs; to call them all."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

Call = Callable[[str, dict[str, Any]], Awaitable[dict[str, Any]]]


@dataclass(frozen=True)
class Row:
    """A tool's two calls. "$name" in arguments is what an earlier row kept under that name."""

    tool: str
    minimal: dict[str, Any]
    full: dict[str, Any]
    keep: dict[str, str] = field(default_factory=dict)  # name → where it is in the minimal call's answer: a.0.b
    error: str | None = None  # the code that both answer with
    counts: bool = False  # it answers with figures of the whole installation: only their kinds are alike


WINDOW = {"limit": 5, "offset": 0}
TALK = "talk"

ROWS = [
    Row(
        "store_memory",
        {"file_name": "heron.md", "content": "The heron stands in the reeds.", "wait_for": "linked"},
        {
            "file_name": "otter.md",
            "content": "The otter swims in the river at night.",
            "resource_type": "note",
            "conversation_id": TALK,
            "speaker": "Ann",
            "occurred_at": "2026-05-01T10:00:00Z",
            "position": 0,
            "wait_for": "linked",
        },
        keep={"job": "job_id", "document": "resource_id"},
    ),
    Row(
        "retrieve_memory",
        {"query": "a bird by the water"},
        {
            "query": "swims",
            "top_k": 3,
            "conversation_id": TALK,
            "scope": "conversation",
            "resource_types": ["note"],
            "after": "2026-01-01T00:00:00Z",
            "before": "2027-01-01T00:00:00Z",
            "match": "both",
            "explain": True,
            "log_query": False,
        },
        keep={"chunk": "retrieved_chunks.0.chunk_id"},
    ),
    Row("retrieve_by_type", {"query": "river", "doc_type": "note"}, {"query": "river", "doc_type": "note", "top_k": 2}),
    Row("get_retrieval_weights", {}, {}),
    Row(
        "set_retrieval_weights",
        {"kind": "code"},
        {"kind": "code", "meaning": 0.5, "words": 0.4, "neighbours": 0.1},
    ),
    Row(
        "log_chat",
        {"conversation_id": TALK, "content": "Where does the heron stand?"},
        {
            "conversation_id": TALK,
            "content": "In the reeds.",
            "role": "assistant",
            "agent_name": "ann",
            "metadata": {"tone": "calm"},
            "source_tool": "cursor",
        },
        keep={"message": "message_id"},
    ),
    Row("get_chats_by_tool", {"source_tool": "cursor"}, {"source_tool": "cursor", "conversation_id": TALK, **WINDOW}),
    Row("get_tool_conversations", {"source_tool": "cursor"}, {"source_tool": "cursor", **WINDOW}),
    Row("list_tool_identifiers", {}, WINDOW, counts=True),
    Row(
        "ask_with_context",
        {"query": "Where?"},
        {"query": "Where?", "conversation_id": TALK, "top_k": 2},
        error="no_model",
    ),
    Row(
        "route_query",
        {"query": "heron"},
        {"query": "heron", "source_types": ["document"], "top_k": 2, "max_tokens": 200, "conversation_id": TALK},
    ),
    Row(
        "store_context_links",
        {"message_id": "$message", "chunk_ids": ["$chunk"]},
        {"message_id": "$message", "chunk_ids": ["$chunk"], "wait_for": "linked"},
    ),
    Row("get_context_links_for_message", {"message_id": "$message"}, {"message_id": "$message", **WINDOW}),
    Row("get_messages_for_chunk", {"chunk_id": "$chunk"}, {"chunk_id": "$chunk", **WINDOW}),
    Row("get_context_usage_statistics", {}, {}),
    Row(
        "build_context",
        {"documents": [{"content": "one"}]},
        {"documents": [{"content": "one"}, {"content": "two"}], "max_tokens": 100},
    ),
    Row(
        "log_code_attempt",
        {"input_prompt": "Add two numbers", "generated_code": "a + b", "result": "pass"},
        {
            "input_prompt": "Divide",
            "generated_code": "a / b",
            "result": "error",
            "function_name": "divide",
            "file_name": "sums.py",
            "module_name": "sums",
            "execution_time_ms": 12,
            "error_message": "ZeroDivisionError",
            "tags": ["sums"],
        },
    ),
    Row(
        "get_code_patterns",
        {"query": "numbers"},
        {
            "query": "divide",
            "result_filter": "error",
            "function_name": "divide",
            "file_name": "sums.py",
            "module_name": "sums",
            "top_k": 2,
        },
    ),
    Row(
        "analyze_code_patterns",
        {},
        {
            "function_name": "divide",
            "file_name": "sums.py",
            "module_name": "sums",
            "time_range_days": 7,
            "query": "divide",
            "limit": 3,
        },
    ),
    Row(
        "link_resources",
        {"source_id": "$document", "target_id": "$document", "relation": "MENTIONS"},
        {"source_id": "heron.md", "target_id": "otter.md", "relation": "NEXT_TO", "strength": 0.5},
    ),
    Row(
        "query_graph",
        {"entity": "$document"},
        {
            "entity": "heron.md",
            "relation_type": "NEXT_TO",
            "direction": "both",
            "depth": 1,
            "limit": 5,
            "include_chunks": True,
        },
    ),
    Row("auto_link_documents", {"document_id": "$document"}, {"document_id": "$document", "similarity_threshold": 0.1}),
    Row(
        "get_document_relationships",
        {"doc_id": "$document"},
        {
            "doc_id": "heron.md",
            "max_depth": 1,
            "relation_type": "NEXT_TO",
            "direction": "both",
            "limit": 5,
            "include_chunks": False,
        },
    ),
    Row(
        "add_todo",
        {"title": "Feed the heron"},
        {"title": "Count the otters", "description": "At night", "priority": "high"},
        keep={"todo": "todo_id"},
    ),
    Row("list_todos", {}, {"status": "pending", **WINDOW}),
    Row("search_todos", {"query": "heron"}, {"query": "otters", "status": "pending", **WINDOW}),
    Row("complete_todo", {"todo_id": "$todo"}, {"todo_id": "$todo"}),
    Row(
        "export_memory",
        {},
        {
            "kinds": ["document"],
            "file_name": "heron.md",
            "resource_type": "document",
            "with_versions": True,
            "limit": 5,
        },
        keep={"records": "records"},
    ),
    Row("import_memory", {"records": "$records"}, {"records": "$records", "first_line": 1, "wait_for": "recorded"}),
    Row("redis_cache_stats", {}, {}, counts=True),
    Row("redis_health_check", {}, {}, counts=True),
    Row("redis_flush_cache", {}, {"cache_type": "tools"}, counts=True),
    Row("job_status", {"job_id": "$job"}, {"job_id": "$job"}),
    Row("job_result", {"job_id": "$job"}, {"job_id": "$job", "wait_seconds": 1}),
    Row("job_cancel", {"job_id": "$job"}, {"job_id": "$job"}),
    Row(
        "job_answer",
        {"job_id": "$job", "answers": {"a": {}}},
        {"job_id": "$job", "answers": {"a": {}}},
        error="conflict",
    ),
    Row("job_list", {"limit": 1}, {"status": "finished", "queue": "default", "limit": 2, "tool": "store_memory"}),
    Row("forget_memory", {"file_name": "heron.md"}, {"conversation_id": TALK, "resource_type": "note"}),
]


async def call_all(call: Call) -> AsyncIterator[tuple[Row, dict[str, Any], dict[str, Any]]]:
    """Each row twice: its arguments, and the answer when all that follows from the call has ended."""
    kept: dict[str, Any] = {}
    for row in ROWS:
        for arguments in (row.minimal, row.full):
            given = {name: _filled(value, kept) for name, value in arguments.items()}
            answer = await call(row.tool, given)
            following = answer.get("jobs") if row.tool != "job_list" else None
            for job_id in following.values() if isinstance(following, dict) else ():
                assert "error" not in await call("job_result", {"job_id": job_id}), (row.tool, answer)
            if arguments is row.minimal:
                kept |= {name: _at(answer, where) for name, where in row.keep.items()}
            yield row, given, answer


def _filled(value: Any, kept: dict[str, Any]) -> Any:
    if isinstance(value, str) and value.startswith("$"):
        return kept[value[1:]]
    return [_filled(part, kept) for part in value] if isinstance(value, list) else value


def _at(answer: Any, where: str) -> Any:
    for part in where.split("."):
        answer = answer[int(part)] if part.isdigit() else answer[part]
    return answer
