"""What the chat tools answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ltmc_jobs.results.paged import Paged


@dataclass(frozen=True, slots=True)
class LoggedChat:
    """A message as it was kept; `timestamp` is ISO 8601 in UTC."""

    message_id: int
    conversation_id: str
    timestamp: str


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """A message of a conversation; `metadata` is the object that came with it."""

    id: int
    conversation_id: str
    role: str
    content: str
    timestamp: str
    agent_name: str | None
    metadata: dict[str, Any] | None
    source_tool: str | None


@dataclass(frozen=True, slots=True)
class ToolChats(Paged):
    """Messages of a client tool, newest first."""

    source_tool: str
    messages: list[ChatMessage]
