"""Keep what is said, and read it again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from ltmc_jobs.errors import NoModel
from ltmc_jobs.registry import Cache, Queue, Tier, tool
from ltmc_jobs.results.chat import LoggedChat, ToolChats
from ltmc_jobs.results.sources import AnsweredQuestion, RoutedQuery, Source

if TYPE_CHECKING:
    from ltmc_jobs.services import Services

ConversationId = Annotated[str, Field(min_length=1, max_length=256, description="The conversation it belongs to")]
SourceTool = Annotated[
    str, Field(min_length=1, max_length=256, description="The client's own name for itself: claude-code, cursor, …")
]
Role = Literal["user", "assistant", "system", "tool", "ai"]
Offset = Annotated[int, Field(ge=0, le=2**31, description="How many to pass over: a page's next_offset")]


@tool(queue=Queue.HIGH, tiers=(Tier.SQLITE,), changes=("chats",))
def log_chat(
    services: Services,
    conversation_id: ConversationId,
    content: Annotated[str, Field(min_length=1, max_length=1_000_000, description="What was said")],
    role: Annotated[Role, Field(description="Who said it")] = "user",
    agent_name: Annotated[str | None, Field(min_length=1, max_length=256, description="The agent that spoke")] = None,
    metadata: Annotated[dict[str, Any] | None, Field(description="Any object, kept as it is")] = None,
    source_tool: SourceTool | None = None,
) -> LoggedChat:
    """Keep a message of a conversation, exactly as given."""
    call = services.current
    kept = services.tiers.chats.log(
        project=call.project,
        conversation_id=conversation_id,
        role=role,
        content=content,
        agent_name=agent_name,
        metadata=metadata,
        source_tool=source_tool,
        job_id=call.id,
    )
    return LoggedChat(message_id=kept.id, conversation_id=kept.conversation_id, timestamp=kept.timestamp)


@tool(queue=Queue.HIGH, tiers=(Tier.SQLITE,), cache=Cache(topics=("chats",)), aliases={"tool_name": "source_tool"})
def get_chats_by_tool(
    services: Services,
    source_tool: SourceTool,
    limit: Annotated[int, Field(ge=1, le=1000, description="How many messages at most")] = 10,
    conversation_id: Annotated[
        str | None, Field(min_length=1, max_length=256, description="Only of this conversation")
    ] = None,
    offset: Offset = 0,
) -> ToolChats:
    """The messages that a client tool logged, newest first. A page of very long ones ends early: see next_offset."""
    found = services.tiers.chats.of_tool(
        source_tool,
        project=services.current.project,
        conversation_id=conversation_id,
        limit=limit,
        offset=offset,
    )
    return ToolChats(
        source_tool=source_tool,
        messages=found.items,
        **found.extent,
    )


@tool(
    queue=Queue.DEFAULT,
    tiers=(Tier.SQLITE, Tier.FAISS),
    retries=0,
    aliases={"question": "query", "context_limit": "top_k"},
)
def ask_with_context(
    services: Services,
    query: Annotated[str, Field(min_length=1, max_length=8192, description="The question")],
    conversation_id: Annotated[
        str | None, Field(min_length=1, max_length=256, description="The conversation it is asked in")
    ] = None,
    top_k: Annotated[int, Field(ge=1, le=50, description="How many passages the answer may be made from")] = 5,
) -> AnsweredQuestion:
    """Have a language model answer a question from what the memory holds."""
    raise NoModel(
        "no language model is set that could write an answer; retrieve_memory gives the passages themselves, "
        "route_query those of every source"
    )


@tool(
    queue=Queue.DEFAULT,
    tiers=(Tier.SQLITE, Tier.FAISS),
    cache=Cache(topics=("memory", "code_patterns", "chats", "todos", "weights")),
)
def route_query(
    services: Services,
    query: Annotated[str, Field(min_length=1, max_length=8192, description="What to look for")],
    source_types: Annotated[
        list[Source], Field(min_length=1, max_length=4, description="Where to look; default: everywhere")
    ] = ["document", "code", "chat", "todo"],  # noqa: B006 — it is read once, for the schema
    top_k: Annotated[int, Field(ge=1, le=50, description="How many finds of each source at most")] = 5,
    max_tokens: Annotated[int, Field(ge=100, le=32_000, description="The budget of the combined context")] = 4000,
    conversation_id: Annotated[
        str | None, Field(min_length=1, max_length=256, description="Of chats, only this conversation")
    ] = None,
) -> RoutedQuery:
    """Search the memory, attempts at code, chats and todos at once; the finds by source, and as one context."""
    return services.sources.route(query, list(dict.fromkeys(source_types)), top_k, max_tokens, conversation_id)
