"""What the context tools answer: a built context, links from messages to chunks, who uses the memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ltmc_jobs.results.paged import Paged


@dataclass(frozen=True, slots=True)
class BuiltContext:
    """Documents as one text. `token_count` is of `context`, as `token_counter` counts, and never above the limit.

    `documents_truncated` were left out for want of room: `left_out` has their places in the given list, from 0 on.
    """

    context: str
    token_count: int
    token_counter: str
    max_tokens: int
    documents_processed: int
    documents_included: int
    documents_truncated: int
    left_out: list[int]


@dataclass(frozen=True, slots=True)
class StoredLinks:
    """How many links are new, and how many were there before."""

    message_id: int
    links_created: int
    links_existing: int


@dataclass(frozen=True, slots=True)
class ContextLink:
    """A chunk that a message used, with its text and where that stands."""

    message_id: int
    chunk_id: int
    content: str
    resource_id: int
    file_name: str
    chunk_index: int


@dataclass(frozen=True, slots=True)
class MessageLinks(Paged):
    """The chunks that a message used, as they were linked."""

    message_id: int
    links: list[ContextLink]


@dataclass(frozen=True, slots=True)
class LinkedMessage:
    """A message that used a chunk."""

    message_id: int
    conversation_id: str
    role: str
    content: str
    timestamp: str


@dataclass(frozen=True, slots=True)
class ChunkMessages(Paged):
    """The messages that used a chunk, newest first."""

    chunk_id: int
    messages: list[LinkedMessage]


@dataclass(frozen=True, slots=True)
class ChunkUse:
    """How many messages used a chunk."""

    chunk_id: int
    usage_count: int


@dataclass(frozen=True, slots=True)
class LinkStatistics:
    """Numbers about links; the average is over the messages that have any."""

    total_context_links: int
    unique_messages: int
    unique_chunks_used: int
    average_links_per_message: float
    most_used_chunks: list[ChunkUse]


@dataclass(frozen=True, slots=True)
class ContextUsage:
    """How the project's messages use its memory."""

    statistics: LinkStatistics


@dataclass(frozen=True, slots=True)
class ToolUse:
    """What a client tool has logged; `active` if its last message is at most 30 days old."""

    identifier: str
    message_count: int
    conversation_count: int
    first_used: str
    last_used: str
    status: Literal["active", "inactive"]


@dataclass(frozen=True, slots=True)
class RegisteredTool:
    """A tool of this platform; no count where none is kept: of questions, and while Redis is away."""

    name: str
    module: str
    call_count: int | None


@dataclass(frozen=True, slots=True)
class ToolIdentifiers:
    """Client tools by their last message, newest first; `registered_tools` are the platform's own.

    `total_tools` and `total_messages` are of all client tools, on whatever page.
    """

    tools: list[ToolUse]
    count: int
    total_tools: int
    total_messages: int
    next_offset: int | None
    standard_identifiers: list[str]
    registered_tools: list[RegisteredTool]


@dataclass(frozen=True, slots=True)
class ToolConversation:
    """What a client tool logged of a conversation."""

    conversation_id: str
    message_count: int
    started_at: str
    last_activity: str
    roles: list[str]


@dataclass(frozen=True, slots=True)
class ToolConversations(Paged):
    """Conversations of a client tool, the latest first."""

    source_tool: str
    conversations: list[ToolConversation]
