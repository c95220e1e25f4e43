"""The catalogue over the records' SQLite file: lists and names, each from an index or one pass over a project."""
# ruff: noqa: S608

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ltmc_jobs.errors import InvalidArguments
from ltmc_jobs.results.catalogue import (
    Document,
    DocumentMarks,
    DocumentPage,
    ListedDocument,
    Names,
    OpenTodo,
    Utterance,
)
from ltmc_jobs.settings import Settings
from ltmc_jobs.stores.schema import STEPS
from ltmc_jobs.stores.sqlite_file import SqliteFile

NEWEST = "(SELECT max(version) FROM resource_versions n WHERE n.resource_id = r.id)"
DOCUMENT = f"""
    SELECT r.id, r.file_name, r.resource_type, {NEWEST}, r.content, r.created_at, r.updated_at
    FROM resources r WHERE r.project = :project
"""
OF_CONVERSATION = """
    (:conversation_id IS NULL OR r.id IN (
        SELECT resource_id FROM resource_versions WHERE project = :project AND conversation_id = :conversation_id))
"""
DOCUMENTS = f"""
    SELECT r.id, r.file_name, r.resource_type, {NEWEST}, length(r.content), r.updated_at
    FROM resources r WHERE r.project = :project AND {OF_CONVERSATION}
    AND (:at IS NULL OR (r.updated_at, r.id) < (:at, :id))
    ORDER BY r.updated_at DESC, r.id DESC LIMIT :limit
"""
DOCUMENT_COUNT = f"SELECT count(*) FROM resources r WHERE r.project = :project AND {OF_CONVERSATION}"
MARKS = f"""
    SELECT r.id, r.file_name, {NEWEST} || ' ' || r.updated_at FROM resources r WHERE r.project = :project
    AND (r.id IN (SELECT value FROM json_each(:ids)) OR r.file_name IN (SELECT value FROM json_each(:names)))
"""
UTTERANCES = """
    SELECT id, role, content, timestamp, agent_name FROM chat_history
    WHERE project = :project AND conversation_id = :conversation_id ORDER BY id DESC LIMIT :limit
"""
UTTERANCE_COUNT = "SELECT count(*) FROM chat_history WHERE project = :project AND conversation_id = :conversation_id"
TODOS = """
    SELECT id, title, description, priority FROM todos
    WHERE project = :project AND completed = 0 ORDER BY id DESC LIMIT :limit
"""
TODO_COUNT = "SELECT count(*) FROM todos WHERE project = :project AND completed = 0"
RESOURCE_IDS = """
    SELECT CAST(id AS TEXT), count(*) OVER () FROM resources
    WHERE project = :project AND CAST(id AS TEXT) LIKE :typed || '%' ESCAPE '\\' ORDER BY updated_at DESC LIMIT :limit
"""
# `named` is what is completed: a name, and when it was last used.
NAMES = """
    SELECT name, count(*) OVER () FROM ({named}) WHERE name LIKE '%' || :typed || '%' ESCAPE '\\'
    GROUP BY name ORDER BY name LIKE :typed || '%' ESCAPE '\\' DESC, max(used_at) DESC, name LIMIT :limit
"""
DOCUMENT_NAMES = NAMES.format(
    named="SELECT file_name AS name, updated_at AS used_at FROM resources WHERE project = :project"
)
CONVERSATION_IDS = NAMES.format(
    named="""
    SELECT conversation_id AS name, max(timestamp) AS used_at FROM chat_history WHERE project = :project GROUP BY 1
    UNION ALL
    SELECT conversation_id, max(created_at) FROM resource_versions
    WHERE project = :project AND conversation_id IS NOT NULL GROUP BY 1
"""
)
AGENT_NAMES = NAMES.format(
    named="""
    SELECT agent_name AS name, max(timestamp) AS used_at FROM chat_history
    WHERE project = :project AND agent_name IS NOT NULL GROUP BY 1
"""
)


class SqliteCatalogue:
    """Reads what the other stores write into the same file. Open it after forking; threads may share it."""

    def __init__(self, path: Path, steps: Sequence[str] = STEPS) -> None:
        self._file = SqliteFile(path, steps)

    def document(self, project: str, resource_id: int) -> Document | None:
        """By id."""
        rows = self._rows(f"{DOCUMENT} AND r.id = :id", project=project, id=resource_id)
        return Document(*rows[0]) if rows else None

    def document_named(self, project: str, file_name: str) -> Document | None:
        """By name."""
        rows = self._rows(f"{DOCUMENT} AND r.file_name = :file_name", project=project, file_name=file_name)
        return Document(*rows[0]) if rows else None

    def documents(
        self, project: str, *, limit: int, cursor: str | None = None, conversation_id: str | None = None
    ) -> DocumentPage:
        """One more than asked for is read, to know whether there are more."""
        at, resource_id = _place(cursor)
        within = {"project": project, "conversation_id": conversation_id}
        rows = self._rows(DOCUMENTS, **within, at=at, id=resource_id, limit=limit + 1)
        found = [ListedDocument(*row) for row in rows[:limit]]
        more = _cursor(found[-1]) if len(rows) > limit else None
        return DocumentPage(found, more, self._rows(DOCUMENT_COUNT, **within)[0][0])

    def marks(self, project: str, resource_ids: Sequence[int], file_names: Sequence[str]) -> DocumentMarks:
        """The newest version, and when it was recorded."""
        named = {"ids": json.dumps(list(resource_ids)), "names": json.dumps(list(file_names))}
        rows = self._rows(MARKS, project=project, **named)
        by_id = {str(resource_id): mark for resource_id, _, mark in rows if resource_id in resource_ids}
        return DocumentMarks(by_id, {name: mark for _, name, mark in rows if name in file_names})

    def conversation(self, project: str, conversation_id: str, *, limit: int) -> tuple[list[Utterance], int]:
        """The last ones, the oldest of them first."""
        within = {"project": project, "conversation_id": conversation_id}
        said = [Utterance(*row) for row in self._rows(UTTERANCES, **within, limit=limit)]
        return said[::-1], self._rows(UTTERANCE_COUNT, **within)[0][0]

    def open_todos(self, project: str, *, limit: int) -> tuple[list[OpenTodo], int]:
        """Newest first."""
        found = [OpenTodo(*row) for row in self._rows(TODOS, project=project, limit=limit)]
        return found, self._rows(TODO_COUNT, project=project)[0][0]

    def document_names(self, project: str, typed: str, *, limit: int) -> Names:
        """Of the project's documents."""
        return self._names(DOCUMENT_NAMES, project, typed, limit)

    def resource_ids(self, project: str, typed: str, *, limit: int) -> Names:
        """As texts."""
        return self._names(RESOURCE_IDS, project, typed, limit)

    def conversation_ids(self, project: str, typed: str, *, limit: int) -> Names:
        """Of chats and documents."""
        return self._names(CONVERSATION_IDS, project, typed, limit)

    def agent_names(self, project: str, typed: str, *, limit: int) -> Names:
        """Of chats."""
        return self._names(AGENT_NAMES, project, typed, limit)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _names(self, statement: str, project: str, typed: str, limit: int) -> Names:
        literal = typed.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        rows = self._rows(statement, project=project, typed=literal, limit=limit)
        return Names([name for name, _ in rows], rows[0][1] if rows else 0)

    def _rows(self, statement: str, **values: Any) -> list[Any]:
        with self._file.reading() as database:
            return list(database.execute(statement, values))


def from_settings(settings: Settings) -> SqliteCatalogue:
    """Over the file that the records' URL names."""
    return SqliteCatalogue(settings.records_file)


def _cursor(last: ListedDocument) -> str:
    return json.dumps([last.updated_at, last.resource_id])


def _place(cursor: str | None) -> tuple[str | None, int]:
    if cursor is None:
        return None, 0
    try:
        at, resource_id = json.loads(cursor)
    except (ValueError, TypeError):
        at = resource_id = None
    if not isinstance(at, str) or not isinstance(resource_id, int):
        raise InvalidArguments("cursor: not one that a list has given", field="cursor")
    return at, resource_id
