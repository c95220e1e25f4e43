"""The records as they leave and come, in the SQLite file of the records.

Every value of a statement is a parameter; what is put together here are constants alone.
"""
# ruff: noqa: S608

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from ltmc_jobs.settings import Settings
from ltmc_jobs.stores.contracts.transfer import Forgotten, Held, Kind, Selection
from ltmc_jobs.stores.sqlite_file import SqliteFile

DOCUMENTS = """
    FROM resources r JOIN resource_versions v ON v.resource_id = r.id
    AND v.version = (SELECT max(version) FROM resource_versions n WHERE n.resource_id = r.id)
    WHERE r.project = :project AND (:file_name IS NULL OR r.file_name = :file_name)
    AND (:conversation_id IS NULL OR v.conversation_id = :conversation_id)
    AND (:resource_type IS NULL OR v.resource_type = :resource_type)
"""
HELD = f"""
    SELECT r.id, r.file_name,
        (SELECT json_group_array(c.id) FROM resource_chunks c WHERE c.resource_id = r.id),
        (SELECT json_group_array(o.job_id) FROM resource_versions o WHERE o.resource_id = r.id)
    {DOCUMENTS} ORDER BY r.id LIMIT :limit
"""
WANTED = "(SELECT r.id FROM json_each(:ids) i JOIN resources r ON r.id = i.value AND r.project = :project)"
COUNT_FORGOTTEN = f"""
    SELECT (SELECT count(*) FROM resources WHERE id IN {WANTED}),
        (SELECT count(*) FROM resource_versions WHERE resource_id IN {WANTED}),
        (SELECT count(*) FROM resource_chunks WHERE resource_id IN {WANTED}),
        (SELECT count(*) FROM vectors WHERE chunk_id IN (SELECT id FROM resource_chunks WHERE resource_id IN {WANTED})),
        (SELECT count(*) FROM code_patterns WHERE resource_id IN {WANTED})
"""
FORGET = (f"DELETE FROM code_patterns WHERE resource_id IN {WANTED}", f"DELETE FROM resources WHERE id IN {WANTED}")
MESSAGE_IDS = "SELECT id FROM chat_history WHERE project = ? AND conversation_id = ? ORDER BY id"
FORGET_MESSAGES = "DELETE FROM chat_history WHERE project = ? AND conversation_id = ?"

MESSAGES = """
    FROM chat_history WHERE project = :project AND (:conversation_id IS NULL OR conversation_id = :conversation_id)
"""
ITEMS: dict[Kind, tuple[str, str, str]] = {  # fields, the rest of the statement, the id
    "document": (
        "file_name, content, v.resource_type, conversation_id, speaker, occurred_at, position, v.created_at, v.version",
        # What an attempt at code is found by is made of its own record.
        f"{DOCUMENTS} AND NOT EXISTS (SELECT 1 FROM code_patterns p WHERE p.resource_id = r.id)",
        "r.id",
    ),
    "message": ("conversation_id, role, content, timestamp, agent_name, metadata, source_tool", MESSAGES, "id"),
    "todo": (
        "title, description, priority, completed, created_at, completed_at",
        "FROM todos WHERE project = :project",
        "id",
    ),
    "pattern": (
        """function_name, file_name, module_name, input_prompt, generated_code, result, execution_time_ms,
        error_message, tags, created_at""",
        "FROM code_patterns WHERE project = :project",
        "id",
    ),
}
VERSIONS = """
    SELECT version, state, resource_type, conversation_id, speaker, occurred_at, content_hash, created_at
    FROM resource_versions WHERE resource_id = ? ORDER BY version
"""
USED = """
    SELECT r.file_name, c.chunk_index FROM context_links l
    JOIN resource_chunks c ON c.id = l.chunk_id JOIN resources r ON r.id = c.resource_id
    WHERE l.message_id = ? ORDER BY l.id
"""
CONTEXT = "SELECT context_type, context_data FROM code_pattern_context WHERE pattern_id = ? ORDER BY id"
IS_RECORDED = f"""
    SELECT 1 {DOCUMENTS} AND r.content = :content AND v.speaker IS :speaker
    AND (:occurred_at IS NULL OR v.occurred_at = :occurred_at) AND (:position IS NULL OR v.position = :position)
    AND v.conversation_id IS :conversation_id
"""
TABLES: dict[Kind, str] = {"message": "chat_history", "todo": "todos", "pattern": "code_patterns"}
KEYED_BY: dict[Kind, tuple[str, ...]] = {
    "message": ("conversation_id", "role", "content", "timestamp", "agent_name", "source_tool"),
    "todo": ("title", "description", "created_at"),
    "pattern": ("function_name", "file_name", "input_prompt", "generated_code", "result", "created_at"),
}
LINK = """
    INSERT OR IGNORE INTO context_links (project, message_id, chunk_id)
    SELECT r.project, :message_id, c.id FROM resources r JOIN resource_chunks c ON c.resource_id = r.id
    AND c.version = (SELECT max(version) FROM resource_chunks n WHERE n.resource_id = r.id)
    WHERE r.project = :project AND r.file_name = :file_name AND c.chunk_index = :chunk_index
"""
ADD_CONTEXT = """
    INSERT INTO code_pattern_context (project, pattern_id, context_type, context_data) VALUES (?, ?, ?, ?)
"""
DATE = (
    "UPDATE resource_versions SET created_at = :at WHERE resource_id = :id AND version = :version",
    "UPDATE resources SET updated_at = :at, created_at = min(created_at, :at) WHERE id = :id",
)


class SqliteTransfer:
    """The records of one installation. Open it after forking; threads may share it."""

    def __init__(self, path: Path) -> None:
        self._file = SqliteFile(path)

    def held(self, selection: Selection, *, limit: int) -> list[Held]:
        """The first documents of a selection."""
        with self._file.reading() as database:
            rows = database.execute(HELD, _asked(selection) | {"limit": limit})
            return [Held(number, name, json.loads(chunks), json.loads(jobs)) for number, name, chunks, jobs in rows]

    def forget(self, project: str, resource_ids: Sequence[int]) -> Forgotten:
        """Remove documents; the foreign keys and triggers take along what hangs on them."""
        wanted = {"project": project, "ids": json.dumps(list(resource_ids))}
        with self._file.writing() as database:
            counts = database.execute(COUNT_FORGOTTEN, wanted).fetchone()
            for statement in FORGET:
                database.execute(statement, wanted)
            return Forgotten(*counts)

    def message_ids(self, project: str, conversation_id: str) -> list[int]:
        """What was said in a conversation."""
        with self._file.reading() as database:
            return [number for (number,) in database.execute(MESSAGE_IDS, [project, conversation_id])]

    def forget_messages(self, project: str, conversation_id: str) -> int:
        """Remove what was said in a conversation."""
        with self._file.writing() as database:
            return int(database.execute(FORGET_MESSAGES, [project, conversation_id]).rowcount)

    def items(
        self, kind: Kind, selection: Selection, *, after: int, limit: int, with_versions: bool = False
    ) -> list[tuple[int, dict[str, Any]]]:
        """The records of a kind behind an id."""
        fields, rest, number = ITEMS[kind]
        names = [field.strip().rpartition(".")[2] for field in fields.split(",")]
        statement = f"SELECT {number}, {fields} {rest} AND {number} > :after ORDER BY {number} LIMIT :limit"
        found = []
        with self._file.reading() as database:
            for row in database.execute(statement, _asked(selection) | {"after": after, "limit": limit}).fetchall():
                record = {"kind": kind} | dict(zip(names, row[1:], strict=True))
                if kind == "document" and with_versions:
                    record["versions"] = _listed(database, VERSIONS, row[0])
                if kind == "message":
                    record["metadata"] = json.loads(record["metadata"]) if record["metadata"] else None
                    record["used"] = _listed(database, USED, row[0])
                if kind == "todo":
                    record["completed"] = bool(record["completed"])
                if kind == "pattern":
                    record["tags"] = json.loads(record["tags"] or "[]")
                    record["context"] = _listed(database, CONTEXT, row[0])
                found.append((int(row[0]), record))
        return found

    def total(self, kind: Kind, selection: Selection) -> int:
        """How many records of a kind there are."""
        with self._file.reading() as database:
            return int(database.execute(f"SELECT count(*) {ITEMS[kind][1]}", _asked(selection)).fetchone()[0])

    def is_recorded(self, project: str, document: dict[str, Any]) -> bool:
        """Whether the newest version of a document has all that this record says."""
        with self._file.reading() as database:
            return database.execute(IS_RECORDED, {**document, "project": project}).fetchone() is not None

    def date(self, resource_id: int, version: int, created_at: str) -> None:
        """Note that a version was first stored then."""
        with self._file.writing() as database:
            for statement in DATE:
                database.execute(statement, {"id": resource_id, "version": version, "at": created_at})

    def add(self, kind: Kind, project: str, record: dict[str, Any]) -> tuple[int, bool]:
        """Write a message, todo or pattern, unless one alike is there."""
        rest = {name: record.pop(name) for name in ("used", "context") if name in record}
        fields = {"project": project, **record}
        if isinstance(fields.get("metadata"), dict):
            fields["metadata"] = json.dumps(fields["metadata"], ensure_ascii=False)
        if "tags" in fields:
            fields["tags"] = json.dumps(fields["tags"])
        with self._file.writing() as database:
            number = _alike(database, kind, fields)
            is_new = number is None
            if number is None:
                columns, values = ", ".join(fields), ", ".join(f":{name}" for name in fields)
                made = database.execute(f"INSERT INTO {TABLES[kind]} ({columns}) VALUES ({values})", fields)
                number = int(made.lastrowid or 0)
                for context in rest.get("context", ()):
                    values_of = [project, number, context["context_type"], context["context_data"]]
                    database.execute(ADD_CONTEXT, values_of)
            linked = 0
            for used in rest.get("used", ()):
                linked += database.execute(LINK, {"project": project, "message_id": number, **used}).rowcount
            return number, is_new or linked > 0

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def from_settings(settings: Settings) -> SqliteTransfer:
    """The records in DB_PATH."""
    return SqliteTransfer(settings.records_file)


def _asked(selection: Selection) -> dict[str, Any]:
    return {
        "project": selection.project,
        "file_name": selection.file_name,
        "conversation_id": selection.conversation_id,
        "resource_type": selection.resource_type,
    }


def _listed(database: Database, statement: str, number: int) -> list[dict[str, Any]]:
    found = database.execute(statement, [number])
    names = [column[0] for column in found.description]
    return [dict(zip(names, row, strict=True)) for row in found]


def _alike(database: Database, kind: Kind, fields: dict[str, Any]) -> int | None:
    """The id of a row that is the same in what tells one from another."""
    same = " AND ".join(f"{name} IS :{name}" for name in KEYED_BY[kind])
    asked = dict.fromkeys(KEYED_BY[kind]) | fields
    found = database.execute(f"SELECT id FROM {TABLES[kind]} WHERE project = :project AND {same} LIMIT 1", asked)
    row = found.fetchone()
    return None if row is None else int(row[0])
