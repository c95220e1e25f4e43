"""Keep what is said, and read it again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from ltmc_jobs.registry import Cache, Queue, Tier, tool
from ltmc_jobs.results.chat import LoggedChat, ToolChats

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
        count=len(found.items),
        total=found.total,
        next_offset=found.next_offset,
    )
