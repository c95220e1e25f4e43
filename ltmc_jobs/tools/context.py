"""Put a context together, and keep what was used of the memory, and by whom."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, WithJsonSchema

from ltmc_jobs import registry
from ltmc_jobs.registry import Cache, Queue, Tier, tool
from ltmc_jobs.results.context import (
    BuiltContext,
    ChunkMessages,
    ContextUsage,
    MessageLinks,
    RegisteredTool,
    StoredLinks,
    ToolConversations,
    ToolIdentifiers,
    ToolUse,
)
from ltmc_jobs.results.sources import RetrievedDocuments

if TYPE_CHECKING:
    from ltmc_jobs.services import Services

# Names by which editors and assistants are known; any other name is as good.
STANDARD_IDENTIFIERS = [
    *("aider", "claude-code", "claude-desktop", "cline", "codex", "continue"),
    *("copilot", "cursor", "gemini-cli", "vscode", "windsurf", "zed"),
]
ACTIVE_DAYS = 30
LARGEST = 2**63 - 1

Id = Annotated[int, Field(ge=1, le=LARGEST)]
MessageId = Annotated[
    int,  # pydantic reads digits as a number
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 1, "maximum": LARGEST},
                {"type": "string", "pattern": "^[1-9][0-9]{0,17}$"},
            ],
            "description": "The message's id, a number or its digits",
        }
    ),
]
ChunkId = Annotated[int, Field(ge=1, le=LARGEST, description="The chunk's id, as retrieve_memory gives it")]
Documents = Annotated[
    list[dict[str, Any]],
    WithJsonSchema(
        {
            "type": "array",
            "maxItems": 1000,
            "items": {
                "type": "object",
                "properties": {
                    "content": {"type": "string", "maxLength": 1_000_000},
                    "title": {"type": ["string", "null"], "maxLength": 10_000},
                    "file_name": {"type": ["string", "null"], "maxLength": 10_000},
                    "score": {"type": ["number", "null"]},
                },
                "required": ["content"],
            },
            "description": "Documents, each with its content, and where known its title or file_name, and its score",
        }
    ),
]
SourceTool = Annotated[str, Field(min_length=1, max_length=256, description="The client tool's name for itself")]
Limit = Annotated[int, Field(ge=1, le=1000, description="How many at most")]
Offset = Annotated[int, Field(ge=0, le=2**31, description="How many to pass over: a page's next_offset")]


@tool(queue=Queue.DEFAULT, tiers=(Tier.SQLITE, Tier.FAISS), cache=Cache(topics=("memory", "weights")))
def retrieve_by_type(
    services: Services,
    query: Annotated[str, Field(min_length=1, max_length=8192, description="What to look for")],
    doc_type: Annotated[str, Field(min_length=1, max_length=64, description="The resource_type of the documents")],
    top_k: Annotated[int, Field(ge=1, le=50, description="How many passages at most")] = 5,
) -> RetrievedDocuments:
    """Find the passages of one type of document that answer a query best."""
    return services.sources.of_type(query, doc_type, top_k)


@tool(queue=Queue.HIGH, tiers=())
def build_context(
    services: Services,
    documents: Documents,
    max_tokens: Annotated[int, Field(ge=100, le=32_000, description="How long the context may be")] = 4000,
) -> BuiltContext:
    """Put documents together as one text of at most max_tokens tokens, the best scores first.

    Each is in it whole or not at all: one that does not fit is left out, and those behind it are tried. The embedding
    model's tokenizer counts; a word of more than 100 characters counts for one token per 4 of them.
    """
    return services.build_context(documents, max_tokens)


@tool(
    queue=Queue.HIGH,
    tiers=(Tier.SQLITE, Tier.NEO4J),
    changes=("chats",),
    follows=("linked",),
    also_named=("store_context_links_tool",),
    idempotent=True,
)
def store_context_links(
    services: Services,
    message_id: MessageId,
    chunk_ids: Annotated[list[Id], Field(max_length=1000, description="Ids of the chunks that the message used")],
) -> StoredLinks:
    """Note which chunks a message used: all of them, or none if any id is unknown. The graph shows it soon after."""
    call = services.current
    wanted = set(chunk_ids)
    made = services.tiers.links.add(message_id, chunk_ids, project=call.project, job_id=call.id)
    if wanted:
        services.memory.link_messages([message_id])
    return StoredLinks(message_id=message_id, links_created=made, links_existing=len(wanted) - made)


@tool(
    queue=Queue.HIGH,
    tiers=(Tier.SQLITE,),
    cache=Cache(topics=("chats", "memory")),
    also_named=("get_context_links_for_message_tool",),
)
def get_context_links_for_message(
    services: Services, message_id: MessageId, limit: Limit = 100, offset: Offset = 0
) -> MessageLinks:
    """The chunks that a message used, with their texts. A link goes when its chunk does."""
    found = services.tiers.links.of_message(message_id, project=services.current.project, limit=limit, offset=offset)
    return MessageLinks(
        message_id=message_id,
        links=found.items,
        **found.extent,
    )


@tool(
    queue=Queue.HIGH,
    tiers=(Tier.SQLITE,),
    cache=Cache(topics=("chats", "memory")),
    also_named=("get_messages_for_chunk_tool",),
)
def get_messages_for_chunk(
    services: Services, chunk_id: ChunkId, limit: Limit = 100, offset: Offset = 0
) -> ChunkMessages:
    """The messages that used a chunk, newest first."""
    found = services.tiers.links.of_chunk(chunk_id, project=services.current.project, limit=limit, offset=offset)
    return ChunkMessages(
        chunk_id=chunk_id,
        messages=found.items,
        **found.extent,
    )


@tool(
    queue=Queue.HIGH,
    tiers=(Tier.SQLITE,),
    cache=Cache(topics=("chats", "memory")),
    also_named=("get_context_usage_statistics_tool",),
)
def get_context_usage_statistics(services: Services) -> ContextUsage:
    """How many links from messages to chunks there are, and which chunks are used most."""
    return ContextUsage(statistics=services.tiers.links.statistics(project=services.current.project))


@tool(queue=Queue.HIGH, tiers=(Tier.SQLITE,))
def list_tool_identifiers(services: Services, limit: Limit = 100, offset: Offset = 0) -> ToolIdentifiers:
    """The client tools that logged messages, the latest first; and the platform's own tools, with their calls so far.

    Calls are those of all projects, counted some seconds after they end.
    """
    project = services.current.project
    found = services.tiers.chats.tools(project=project, limit=limit, offset=offset)
    active_since = (datetime.now(UTC) - timedelta(days=ACTIVE_DAYS)).isoformat(timespec="microseconds")
    return ToolIdentifiers(
        tools=[
            ToolUse(
                identifier=used.identifier,
                message_count=used.messages,
                conversation_count=used.conversations,
                first_used=used.first_used,
                last_used=used.last_used,
                status="active" if used.last_used >= active_since else "inactive",
            )
            for used in found.items
        ],
        count=len(found.items),
        total_tools=found.total,
        total_messages=services.tiers.chats.tool_messages(project=project),
        next_offset=found.next_offset,
        standard_identifiers=STANDARD_IDENTIFIERS,
        registered_tools=_registered(services.tool_calls()),
    )


@tool(queue=Queue.HIGH, tiers=(Tier.SQLITE,), cache=Cache(topics=("chats",)), aliases={"tool_name": "source_tool"})
def get_tool_conversations(
    services: Services,
    source_tool: SourceTool,
    limit: Annotated[int, Field(ge=1, le=200, description="How many conversations at most")] = 50,
    offset: Offset = 0,
) -> ToolConversations:
    """The conversations in which a client tool logged messages, the latest first."""
    found = services.tiers.chats.conversations(
        source_tool, project=services.current.project, limit=limit, offset=offset
    )
    return ToolConversations(
        source_tool=source_tool,
        conversations=found.items,
        **found.extent,
    )


def _registered(calls: dict[str, int] | None) -> list[RegisteredTool]:
    """The listed tools; calls are counted where they are jobs."""
    jobs = {each.form.name for each in registry.tools()}
    return [
        RegisteredTool(
            name=form.name,
            module=form.module,
            call_count=None if calls is None or form.name not in jobs else calls.get(form.name, 0),
        )
        for form in registry.forms()
    ]
