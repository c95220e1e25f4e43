"""Links between messages and chunks in the SQLite file of the records."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from ltmc_jobs.errors import NotFound
from ltmc_jobs.results.context import ChunkUse, ContextLink, LinkedMessage, LinkStatistics
from ltmc_jobs.settings import Settings
from ltmc_jobs.stores.contracts import Page, filled
from ltmc_jobs.stores.sqlite_file import SqliteFile

MESSAGE = "SELECT 1 FROM chat_history WHERE id = :message_id AND project = :project"
CHUNKS = """
    SELECT c.id FROM json_each(:chunk_ids) wanted CROSS JOIN resource_chunks c ON c.id = wanted.value
    JOIN resources r ON r.id = c.resource_id AND r.project = :project
"""
ADD = """
    INSERT INTO context_links (project, message_id, chunk_id, job_id)
    SELECT :project, :message_id, wanted.value, :job_id FROM json_each(:chunk_ids) wanted WHERE true ORDER BY wanted.key
    ON CONFLICT (message_id, chunk_id) DO NOTHING
"""
MADE_BY = """
    SELECT count(*) FROM context_links WHERE message_id = :message_id AND job_id = :job_id
    AND chunk_id IN (SELECT value FROM json_each(:chunk_ids))
"""
OF_MESSAGE = """
    SELECT l.message_id, l.chunk_id, c.content, c.resource_id, r.file_name, c.chunk_index
    FROM context_links l JOIN resource_chunks c ON c.id = l.chunk_id JOIN resources r ON r.id = c.resource_id
    WHERE l.message_id = :message_id AND l.project = :project ORDER BY l.id LIMIT :limit OFFSET :offset
"""
OF_MESSAGE_COUNT = "SELECT count(*) FROM context_links WHERE message_id = :message_id AND project = :project"
OF_CHUNK = """
    SELECT m.id, m.conversation_id, m.role, m.content, m.timestamp
    FROM context_links l JOIN chat_history m ON m.id = l.message_id
    WHERE l.chunk_id = :chunk_id AND l.project = :project
    ORDER BY m.timestamp DESC, m.id DESC LIMIT :limit OFFSET :offset
"""
OF_CHUNK_COUNT = "SELECT count(*) FROM context_links WHERE chunk_id = :chunk_id AND project = :project"
CHUNK_IDS = """
    SELECT l.message_id, l.chunk_id FROM json_each(:message_ids) wanted
    CROSS JOIN context_links l ON l.message_id = wanted.value AND l.project = :project ORDER BY l.id
"""
TOTALS = """
    SELECT count(*), count(DISTINCT message_id), count(DISTINCT chunk_id) FROM context_links WHERE project = :project
"""
MOST_USED = """
    SELECT chunk_id, count(*) AS uses FROM context_links WHERE project = :project
    GROUP BY chunk_id ORDER BY uses DESC, chunk_id LIMIT 10
"""


class SqliteLinks:
    """The links of one installation. Open it after forking; threads may share it."""

    def __init__(self, path: Path) -> None:
        self._file = SqliteFile(path)

    def add(self, message_id: int, chunk_ids: Sequence[int], *, project: str, job_id: str | None = None) -> int:
        """Link a message to chunks, all or none; how many links this job made."""
        wanted = list(dict.fromkeys(int(chunk_id) for chunk_id in chunk_ids))
        fields = {"message_id": message_id, "project": project, "chunk_ids": json.dumps(wanted), "job_id": job_id}
        with self._file.writing() as database:
            known = {chunk_id for (chunk_id,) in database.execute(CHUNKS, fields)}
            has_message = _number(database, f"SELECT EXISTS ({MESSAGE})", fields)
            _require(message_id if not has_message else None, [each for each in wanted if each not in known])
            made = database.execute(ADD, fields).rowcount
            return made if job_id is None else _number(database, MADE_BY, fields)

    def of_message(self, message_id: int, *, project: str, limit: int, offset: int = 0) -> Page[ContextLink]:
        """The chunks that a message used, in the order they were linked."""
        asked = {"message_id": message_id, "project": project}
        with self._file.reading() as database:
            if not _number(database, f"SELECT EXISTS ({MESSAGE})", asked):
                _require(message_id, [])
            rows = database.execute(OF_MESSAGE, asked | {"limit": limit, "offset": offset})
            found = [ContextLink(*row) for row in rows]
            return Page(found, offset, _number(database, OF_MESSAGE_COUNT, asked))

    def of_chunk(self, chunk_id: int, *, project: str, limit: int, offset: int = 0) -> Page[LinkedMessage]:
        """The messages that used a chunk, newest first."""
        asked = {"chunk_id": chunk_id, "project": project}
        with self._file.reading() as database:
            if not database.execute(CHUNKS, {"chunk_ids": json.dumps([chunk_id]), "project": project}).fetchall():
                _require(None, [chunk_id])
            rows = database.execute(OF_CHUNK, asked | {"limit": limit, "offset": offset})
            found = filled((LinkedMessage(*row) for row in rows), lambda message: len(message.content))
            return Page(found, offset, _number(database, OF_CHUNK_COUNT, asked))

    def chunk_ids(self, message_ids: Iterable[int], *, project: str) -> dict[int, list[int]]:
        """The chunks that messages used."""
        asked = {"message_ids": json.dumps(list(message_ids)), "project": project}
        found: dict[int, list[int]] = defaultdict(list)
        with self._file.reading() as database:
            for message_id, chunk_id in database.execute(CHUNK_IDS, asked):
                found[message_id].append(chunk_id)
        return dict(found)

    def statistics(self, *, project: str) -> LinkStatistics:
        """Counts, and the ten chunks that most messages used."""
        asked = {"project": project}
        with self._file.reading() as database:
            links, messages, chunks = database.execute(TOTALS, asked).fetchone()
            most = [ChunkUse(*row) for row in database.execute(MOST_USED, asked)]
        return LinkStatistics(links, messages, chunks, links / messages if messages else 0.0, most)

    def check(self) -> None:
        """Raise if the file is gone, unreadable or not ours."""
        self._file.check()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def from_settings(settings: Settings) -> SqliteLinks:
    """The links in DB_PATH."""
    return SqliteLinks(settings.records_file)


def _require(message_id: int | None, chunk_ids: Sequence[int]) -> None:
    """Say which message and which chunks are not there, if any."""
    missing: dict[str, Any] = {} if message_id is None else {"message_id": message_id}
    words = [] if message_id is None else [f"Message with id {message_id} does not exist"]
    if chunk_ids:
        missing["chunk_ids"] = list(chunk_ids)
        shown = ", ".join(map(str, chunk_ids[:10])) + (", …" if len(chunk_ids) > 10 else "")
        words.append(
            f"Chunk with id {shown} does not exist" if len(chunk_ids) == 1 else f"Chunks with ids {shown} do not exist"
        )
    if missing:
        raise NotFound("; ".join(words), **missing)


def _number(database: Database, statement: str, values: dict[str, Any]) -> int:
    return int(database.execute(statement, values).fetchone()[0])
