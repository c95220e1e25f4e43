"""Chats: what was said in conversations, by whom, and with which tool."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from ltmc_jobs.results.chat import ChatMessage
from ltmc_jobs.results.context import ToolConversation
from ltmc_jobs.stores.contracts.page import Page


@dataclass(frozen=True, slots=True)
class FoundMessage:
    """A message with its score: above zero, the higher the better."""

    message: ChatMessage
    score: float


@dataclass(frozen=True, slots=True)
class ToolMessages:
    """How much a client tool has logged, and when first and last."""

    identifier: str
    messages: int
    conversations: int
    first_used: str
    last_used: str


class Chats(Protocol):
    """Messages, each of a project. Newest first is by time, then by id. A page ends early after 2 M characters."""

    def log(
        self,
        *,
        project: str,
        conversation_id: str,
        role: str,
        content: str,
        agent_name: str | None = None,
        metadata: dict[str, Any] | None = None,
        source_tool: str | None = None,
        job_id: str | None = None,
    ) -> ChatMessage:
        """Keep a message. A job id that the project had before gives the message kept then, and keeps nothing."""

    def message(self, message_id: int, *, project: str) -> ChatMessage | None: ...

    def of_tool(
        self, source_tool: str, *, project: str, conversation_id: str | None = None, limit: int, offset: int = 0
    ) -> Page[ChatMessage]:
        """The messages of a client tool, newest first."""

    def conversations(self, source_tool: str, *, project: str, limit: int, offset: int = 0) -> Page[ToolConversation]:
        """The conversations in which a client tool said something, by its last message there, newest first."""

    def tools(self, *, project: str, limit: int, offset: int = 0) -> Page[ToolMessages]:
        """The client tools that said something, by their last message, newest first."""

    def tool_messages(self, *, project: str) -> int:
        """How many messages name a client tool."""

    def search(self, query: str, *, project: str, limit: int, conversation_id: str | None = None) -> list[FoundMessage]:
        """Messages that have any of the query's words, whatever their endings, best first, then newest first."""

    def check(self) -> None:
        """Raise if the store cannot answer."""

    def close(self) -> None: ...
