"""Todos in the SQLite file of the records.

Every value of a statement is a parameter; what is put together here are constants alone.
"""
# ruff: noqa: S608

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ltmc_jobs.errors import NotFound
from ltmc_jobs.results.todos import Priority, Todo
from ltmc_jobs.settings import Settings
from ltmc_jobs.stores.contracts import FoundTodo, Page
from ltmc_jobs.stores.sqlite_file import SqliteFile
from ltmc_jobs.stores.words import distinctive

TODOS = """
    SELECT t.id, t.title, t.description, t.priority, t.completed, t.created_at, t.completed_at FROM todos t
"""
ADD = """
    INSERT INTO todos (project, title, description, priority, created_at, job_id)
    VALUES (:project, :title, :description, :priority, :now, :job_id)
    ON CONFLICT (project, job_id) DO NOTHING
    RETURNING id
"""
OF_JOB = TODOS + "WHERE t.project = :project AND t.job_id = :job_id"
BY_ID = TODOS + "WHERE t.id = :id AND t.project = :project"
COMPLETE = """
    UPDATE todos SET completed = 1, completed_at = :now, completed_job_id = :job_id
    WHERE id = :id AND project = :project AND completed = 0
"""
COMPLETED_BY = "SELECT completed_job_id FROM todos WHERE id = :id AND project = :project"
# A list of one state, and a list of all: each has an index of its own.
LISTED = "WHERE t.project = :project "
LISTED_IN_STATE = "WHERE t.project = :project AND t.completed = :completed "
NEWEST_FIRST = "ORDER BY t.created_at DESC, t.id DESC LIMIT :limit OFFSET :offset"
MATCHES = """
    WITH worded AS MATERIALIZED (
        SELECT t.id, -bm25(todo_words, 4.0, 1.0) AS weight FROM todo_words
        CROSS JOIN todos t ON t.id = todo_words.rowid AND t.project = :project WHERE todo_words MATCH :words),
    matches AS (
        SELECT t.*, coalesce(worded.weight / (1 + worded.weight), 0) + CASE
            WHEN instr(lower(t.title), lower(:query)) THEN 2
            WHEN instr(lower(t.description), lower(:query)) THEN 1
            ELSE 0 END AS score
        FROM todos t LEFT JOIN worded ON worded.id = t.id
        WHERE t.project = :project AND (:completed IS NULL OR t.completed = :completed)
        AND NOT EXISTS (
            SELECT 1 FROM json_each(:literals) literal
            WHERE NOT instr(lower(t.title), lower(literal.value))
            AND NOT instr(lower(t.description), lower(literal.value))))
"""
SEARCH = f"""
    {MATCHES} SELECT t.id, t.title, t.description, t.priority, t.completed, t.created_at, t.completed_at, t.score
    FROM matches t WHERE t.score > 0 ORDER BY t.score DESC, t.created_at DESC, t.id DESC LIMIT :limit OFFSET :offset
"""
SEARCH_COUNT = f"{MATCHES} SELECT count(*) FROM matches WHERE score > 0"
WILD = "%_"
MARKS = ".,;:!?\"'`()[]{}<>"  # what stands around words and is no part of them


class SqliteTodos:
    """The todos of one installation. Open it after forking; threads may share it."""

    def __init__(self, path: Path) -> None:
        self._file = SqliteFile(path)

    def add(self, *, project: str, title: str, description: str, priority: Priority, job_id: str | None = None) -> Todo:
        """Keep a todo, or give the one that this job kept before."""
        fields = {"project": project, "title": title, "description": description, "priority": priority}
        with self._file.writing() as database:
            # The time is taken with the lock held, so that it grows as the ids do.
            made = database.execute(ADD, fields | {"now": _now(), "job_id": job_id}).fetchall()
            if made:
                return _todo(database.execute(BY_ID, {"id": made[0][0], "project": project}).fetchone())
            return _todo(database.execute(OF_JOB, {"project": project, "job_id": job_id}).fetchone())

    def complete(self, todo_id: int, *, project: str, job_id: str | None = None) -> tuple[Todo, bool]:
        """Complete a todo once, and whether another job had."""
        which = {"id": todo_id, "project": project}
        with self._file.writing() as database:
            changed = database.execute(COMPLETE, which | {"now": _now(), "job_id": job_id}).rowcount
            found = database.execute(BY_ID, which).fetchone()
            if found is None:
                raise NotFound(f"Todo not found: there is no todo {todo_id}", todo_id=todo_id)
            completed_by = database.execute(COMPLETED_BY, which).fetchone()[0]
            return _todo(found), not changed and (job_id is None or completed_by != job_id)

    def list(self, *, project: str, completed: bool | None = None, limit: int, offset: int = 0) -> Page[Todo]:
        """Todos, newest first."""
        which = LISTED if completed is None else LISTED_IN_STATE
        asked = {"project": project} | ({} if completed is None else {"completed": completed})
        with self._file.reading() as database:
            rows = database.execute(TODOS + which + NEWEST_FIRST, asked | {"limit": limit, "offset": offset})
            found = [_todo(row) for row in rows]
            total = database.execute("SELECT count(*) FROM todos t " + which, asked).fetchone()[0]
            return Page(found, offset, total)

    def search(
        self, query: str, *, project: str, completed: bool | None = None, limit: int, offset: int = 0
    ) -> Page[FoundTodo]:
        """Todos that have the query as it stands, or any of its words, best first."""
        words, _ = distinctive(query)
        parts = (part.strip(MARKS) for part in query.split())
        asked = {
            "project": project,
            "completed": completed,
            "query": query.strip(),
            # Quoted, so that nothing in a query is read as an operator of the full-text language; "" matches nothing.
            "words": " OR ".join(f'"{word}"' for word in words) or '""',
            "literals": json.dumps([part for part in parts if set(part) & set(WILD)]),
        }
        if not asked["query"]:
            return Page([], offset, 0)
        with self._file.reading() as database:
            rows = database.execute(SEARCH, asked | {"limit": limit, "offset": offset})
            found = [FoundTodo(_todo(fields), score) for *fields, score in rows]
            return Page(found, offset, database.execute(SEARCH_COUNT, asked).fetchone()[0])

    def check(self) -> None:
        """Raise if the file is gone, unreadable or not ours."""
        self._file.check()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def from_settings(settings: Settings) -> SqliteTodos:
    """The todos in DB_PATH."""
    return SqliteTodos(settings.records_file)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _todo(row: Sequence[Any]) -> Todo:
    number, title, description, priority, completed, created_at, completed_at = row
    return Todo(number, title, description, priority, bool(completed), created_at, completed_at)
