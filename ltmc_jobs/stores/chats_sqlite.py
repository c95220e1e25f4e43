"""Chats in the SQLite file of the records.

Every value of a statement is a parameter; what is put together here are constants alone.
"""
# ruff: noqa: S608

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from ltmc_jobs.errors import InvalidArguments
from ltmc_jobs.results.chat import ChatMessage
from ltmc_jobs.results.context import ToolConversation
from ltmc_jobs.settings import Settings
from ltmc_jobs.stores.contracts import FoundMessage, Page, ToolMessages, filled
from ltmc_jobs.stores.sqlite_file import SqliteFile
from ltmc_jobs.stores.words import distinctive

MESSAGES = """
    SELECT c.id, c.conversation_id, c.role, c.content, c.timestamp, c.agent_name, c.metadata, c.source_tool
    FROM chat_history c
"""
LOG = """
    INSERT INTO chat_history
        (project, conversation_id, role, content, timestamp, agent_name, metadata, source_tool, job_id)
    VALUES (:project, :conversation_id, :role, :content, :now, :agent_name, :metadata, :source_tool, :job_id)
    ON CONFLICT (project, job_id) DO NOTHING
    RETURNING id
"""
OF_JOB = MESSAGES + "WHERE c.project = :project AND c.job_id = :job_id"
BY_ID = MESSAGES + "WHERE c.id = :id AND c.project = :project"
# All that a tool said, and what it said in one conversation: each has an index of its own.
SAID = "WHERE c.project = :project AND c.source_tool = :source_tool "
SAID_THERE = SAID + "AND c.conversation_id = :conversation_id "
NEWEST_FIRST = "ORDER BY c.timestamp DESC, c.id DESC LIMIT :limit OFFSET :offset"
CONVERSATIONS = """
    SELECT conversation_id, count(*), min(timestamp), max(timestamp) AS last, json_group_array(DISTINCT role)
    FROM chat_history WHERE project = :project AND source_tool = :source_tool
    GROUP BY conversation_id ORDER BY last DESC, max(id) DESC LIMIT :limit OFFSET :offset
"""
CONVERSATIONS_COUNT = """
    SELECT count(DISTINCT conversation_id) FROM chat_history WHERE project = :project AND source_tool = :source_tool
"""
TOOLS = """
    SELECT source_tool, count(*), count(DISTINCT conversation_id), min(timestamp), max(timestamp) AS last
    FROM chat_history WHERE project = :project AND source_tool IS NOT NULL
    GROUP BY source_tool ORDER BY last DESC, source_tool LIMIT :limit OFFSET :offset
"""
TOOLS_COUNT = """
    SELECT count(DISTINCT source_tool) FROM chat_history WHERE project = :project AND source_tool IS NOT NULL
"""
TOOL_MESSAGES = "SELECT count(*) FROM chat_history WHERE project = :project AND source_tool IS NOT NULL"
SEARCH = """
    SELECT c.id, c.conversation_id, c.role, c.content, c.timestamp, c.agent_name, c.metadata, c.source_tool,
           -bm25(chat_words) AS score
    FROM chat_words JOIN chat_history c ON c.id = chat_words.rowid
    WHERE chat_words MATCH :words AND c.project = :project
      AND (:conversation_id IS NULL OR c.conversation_id = :conversation_id)
    ORDER BY score DESC, c.timestamp DESC, c.id DESC LIMIT :limit
"""


class SqliteChats:
    """The chats of one installation. Open it after forking; threads may share it."""

    def __init__(self, path: Path) -> None:
        self._file = SqliteFile(path)

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
        """Keep a message, or give the one that this job kept before."""
        fields = {
            "project": project,
            "conversation_id": conversation_id,
            "role": role,
            "content": content,
            "agent_name": agent_name,
            "metadata": None if metadata is None else _json(metadata),
            "source_tool": source_tool,
            "job_id": job_id,
        }
        with self._file.writing() as database:
            # The time is taken with the lock held, so that it grows as the ids do.
            made = database.execute(LOG, fields | {"now": _now()}).fetchall()
            if made:
                return _messages(database, BY_ID, {"id": made[0][0], "project": project})[0]
            return _messages(database, OF_JOB, {"project": project, "job_id": job_id})[0]

    def message(self, message_id: int, *, project: str) -> ChatMessage | None:
        """A message of the project; None if there is none."""
        with self._file.reading() as database:
            found = _messages(database, BY_ID, {"id": message_id, "project": project})
        return found[0] if found else None

    def of_tool(
        self, source_tool: str, *, project: str, conversation_id: str | None = None, limit: int, offset: int = 0
    ) -> Page[ChatMessage]:
        """The messages of a client tool, newest first."""
        which = SAID if conversation_id is None else SAID_THERE
        asked = {"project": project, "source_tool": source_tool, "conversation_id": conversation_id}
        with self._file.reading() as database:
            found = _messages(database, MESSAGES + which + NEWEST_FIRST, asked | {"limit": limit, "offset": offset})
            return Page(found, offset, _number(database, "SELECT count(*) FROM chat_history c " + which, asked))

    def conversations(self, source_tool: str, *, project: str, limit: int, offset: int = 0) -> Page[ToolConversation]:
        """The conversations in which a client tool said something, newest first."""
        asked = {"project": project, "source_tool": source_tool}
        with self._file.reading() as database:
            rows = database.execute(CONVERSATIONS, asked | {"limit": limit, "offset": offset})
            found = [
                ToolConversation(name, messages, first, last, sorted(json.loads(roles)))
                for name, messages, first, last, roles in rows
            ]
            return Page(found, offset, _number(database, CONVERSATIONS_COUNT, asked))

    def tools(self, *, project: str, limit: int, offset: int = 0) -> Page[ToolMessages]:
        """The client tools that said something, newest first."""
        with self._file.reading() as database:
            rows = database.execute(TOOLS, {"project": project, "limit": limit, "offset": offset})
            found = [ToolMessages(*row) for row in rows]
            return Page(found, offset, _number(database, TOOLS_COUNT, {"project": project}))

    def tool_messages(self, *, project: str) -> int:
        """How many messages name a client tool."""
        with self._file.reading() as database:
            return _number(database, TOOL_MESSAGES, {"project": project})

    def search(self, query: str, *, project: str, limit: int, conversation_id: str | None = None) -> list[FoundMessage]:
        """Messages that have any of the query's words, best first."""
        words, _ = distinctive(query)
        # Quoted, so that nothing in a query is read as an operator of the full-text language.
        asked = {"words": " OR ".join(f'"{word}"' for word in words), "project": project, "limit": limit}
        if not words:
            return []
        with self._file.reading() as database:
            rows = database.execute(SEARCH, asked | {"conversation_id": conversation_id})
            return [FoundMessage(_message(fields), score) for *fields, score in rows]

    def check(self) -> None:
        """Raise if the file is gone, unreadable or not ours."""
        self._file.check()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def from_settings(settings: Settings) -> SqliteChats:
    """The chats in DB_PATH."""
    return SqliteChats(settings.records_file)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _json(metadata: dict[str, Any]) -> str:
    try:
        return json.dumps(metadata, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        raise InvalidArguments("metadata must be an object of JSON", field="metadata") from None


def _message(row: Sequence[Any]) -> ChatMessage:
    number, conversation_id, role, content, timestamp, agent_name, metadata, source_tool = row
    kept = None if metadata is None else json.loads(metadata)
    return ChatMessage(number, conversation_id, role, content, timestamp, agent_name, kept, source_tool)


def _messages(database: Database, statement: str, values: dict[str, Any]) -> list[ChatMessage]:
    return filled(map(_message, database.execute(statement, values)), lambda message: len(message.content))


def _number(database: Database, statement: str, values: dict[str, Any]) -> int:
    return int(database.execute(statement, values).fetchone()[0])
