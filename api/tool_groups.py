"""Which tools are which: the 25 that have always been there, the three of the cache, and what came beside them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Literal

from ltmc_jobs import registry
from ltmc_jobs.form import Form

Group = Literal["core", "cache", "extra"]

# The contract that clients were written against, by number; what else a client may call is an extra, and named so.
CORE = (
    *("store_memory", "retrieve_memory", "log_chat", "ask_with_context", "route_query", "get_chats_by_tool"),
    *("add_todo", "list_todos", "complete_todo", "search_todos", "build_context", "retrieve_by_type"),
    *("store_context_links", "get_context_links_for_message", "get_messages_for_chunk", "get_context_usage_statistics"),
    *("link_resources", "query_graph", "auto_link_documents", "get_document_relationships", "list_tool_identifiers"),
    *("get_tool_conversations", "log_code_attempt", "get_code_patterns", "analyze_code_patterns"),
)
CACHE = ("redis_cache_stats", "redis_flush_cache", "redis_health_check")


def group_of(name: str) -> Group:
    """The group of a tool."""
    return "core" if name in CORE else "cache" if name in CACHE else "extra"


def counted(forms: Iterable[Form] | None = None) -> dict[Group, int]:
    """How many tools each group has, as they are declared in this process."""
    found = Counter(group_of(form.name) for form in (registry.forms() if forms is None else forms))
    return {"core": found["core"], "cache": found["cache"], "extra": found["extra"]}


def told() -> str:
    """The one sentence that documents have of it."""
    counts = counted()
    return (
        f"{sum(counts.values())} tools: {counts['core']} core, {counts['cache']} of the cache, {counts['extra']} extras"
    )
