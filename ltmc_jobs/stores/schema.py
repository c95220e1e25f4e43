"""The tables of the SQLite file, as numbered steps that are run when it is opened and never on a request.

A step that was released is never edited: a change is a new step at the end. Texts are UTF-8, times ISO 8601 in UTC.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from sqlite_utils import Database

from ltmc_jobs.errors import Misconfigured

_DOCUMENTS = """
CREATE TABLE installation (id TEXT PRIMARY KEY) WITHOUT ROWID;
INSERT INTO installation VALUES (lower(hex(randomblob(16))));

CREATE TABLE resources (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    project TEXT NOT NULL,
    file_name TEXT NOT NULL,
    content TEXT NOT NULL,
    resource_type TEXT NOT NULL DEFAULT 'document',
    version INTEGER NOT NULL DEFAULT 0,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    UNIQUE (project, file_name)
);
CREATE TABLE resource_versions (
    resource_id INTEGER NOT NULL REFERENCES resources(id) ON DELETE CASCADE,
    version INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('recorded', 'searchable', 'linked', 'superseded')),
    resource_type TEXT NOT NULL,
    conversation_id TEXT,
    content_hash TEXT NOT NULL,
    job_id TEXT NOT NULL,
    created_at TEXT NOT NULL,
    PRIMARY KEY (resource_id, version),
    UNIQUE (job_id, resource_id)
) WITHOUT ROWID;
CREATE INDEX resource_versions_unfinished ON resource_versions (state, created_at)
    WHERE state IN ('recorded', 'searchable');
CREATE TABLE resource_chunks (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    resource_id INTEGER NOT NULL,
    version INTEGER NOT NULL,
    chunk_index INTEGER NOT NULL,
    content TEXT NOT NULL,
    start INTEGER NOT NULL,
    "end" INTEGER NOT NULL,
    vector_id INTEGER GENERATED ALWAYS AS (id) VIRTUAL,
    UNIQUE (resource_id, version, chunk_index),
    FOREIGN KEY (resource_id, version) REFERENCES resource_versions(resource_id, version) ON DELETE CASCADE
);
CREATE TABLE vectors (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    chunk_id INTEGER NOT NULL UNIQUE REFERENCES resource_chunks(id) ON DELETE CASCADE,
    project TEXT NOT NULL,
    model TEXT NOT NULL,
    dimension INTEGER NOT NULL,
    vector BLOB NOT NULL
);
CREATE INDEX vectors_project ON vectors (project, seq);
CREATE TABLE vector_snapshots (
    project TEXT PRIMARY KEY,
    seq INTEGER NOT NULL,
    model TEXT NOT NULL,
    dimension INTEGER NOT NULL,
    "rows" INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    crc32 INTEGER NOT NULL
) WITHOUT ROWID;

CREATE VIRTUAL TABLE chunk_words USING fts5(
    content, content='resource_chunks', content_rowid='id', tokenize='porter unicode61'
);
CREATE TRIGGER resource_chunks_words_insert AFTER INSERT ON resource_chunks BEGIN
    INSERT INTO chunk_words (rowid, content) VALUES (new.id, new.content);
END;
CREATE TRIGGER resource_chunks_words_delete AFTER DELETE ON resource_chunks BEGIN
    INSERT INTO chunk_words (chunk_words, rowid, content) VALUES ('delete', old.id, old.content);
END;

CREATE TABLE graph_nodes (
    project TEXT NOT NULL,
    label TEXT NOT NULL,
    key TEXT NOT NULL,
    properties TEXT NOT NULL DEFAULT '{}',
    PRIMARY KEY (project, label, key)
) WITHOUT ROWID;
CREATE TABLE graph_edges (
    project TEXT NOT NULL,
    source_label TEXT NOT NULL,
    source_key TEXT NOT NULL,
    relation TEXT NOT NULL,
    target_label TEXT NOT NULL,
    target_key TEXT NOT NULL,
    properties TEXT NOT NULL DEFAULT '{}',
    PRIMARY KEY (project, source_label, source_key, relation, target_label, target_key)
) WITHOUT ROWID;
CREATE INDEX graph_edges_reverse
    ON graph_edges (project, target_label, target_key, relation, source_label, source_key);
"""

_WORK = """
CREATE TABLE chat_history (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    project TEXT NOT NULL,
    conversation_id TEXT NOT NULL,
    role TEXT NOT NULL,
    content TEXT NOT NULL,
    timestamp TEXT NOT NULL,
    agent_name TEXT,
    metadata TEXT,
    source_tool TEXT
);
CREATE INDEX chat_history_conversation ON chat_history (project, conversation_id, id);
CREATE INDEX chat_history_tool ON chat_history (project, source_tool, id) WHERE source_tool IS NOT NULL;
CREATE TABLE context_links (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    project TEXT NOT NULL,
    message_id INTEGER NOT NULL REFERENCES chat_history(id) ON DELETE CASCADE,
    chunk_id INTEGER NOT NULL REFERENCES resource_chunks(id) ON DELETE CASCADE,
    UNIQUE (message_id, chunk_id)
);
CREATE INDEX context_links_chunk ON context_links (chunk_id);
CREATE TABLE summaries (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    project TEXT NOT NULL,
    resource_id INTEGER REFERENCES resources(id) ON DELETE CASCADE,
    doc_id TEXT,
    summary_text TEXT NOT NULL,
    model TEXT,
    created_at TEXT NOT NULL
);
CREATE INDEX summaries_resource ON summaries (resource_id);
CREATE TABLE todos (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    project TEXT NOT NULL,
    title TEXT NOT NULL,
    description TEXT NOT NULL,
    priority TEXT NOT NULL DEFAULT 'medium',
    completed INTEGER NOT NULL DEFAULT 0 CHECK (completed IN (0, 1)),
    created_at TEXT NOT NULL,
    completed_at TEXT
);
CREATE INDEX todos_open ON todos (project, completed, id);
CREATE TABLE code_patterns (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    project TEXT NOT NULL,
    function_name TEXT,
    file_name TEXT,
    module_name TEXT,
    input_prompt TEXT NOT NULL,
    generated_code TEXT NOT NULL,
    result TEXT NOT NULL CHECK (result IN ('pass', 'fail', 'partial')),
    execution_time_ms INTEGER,
    error_message TEXT,
    tags TEXT,
    created_at TEXT NOT NULL,
    vector_id INTEGER UNIQUE REFERENCES resource_chunks(id) ON DELETE SET NULL
);
CREATE INDEX code_patterns_project ON code_patterns (project, id);
CREATE TABLE code_pattern_context (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    project TEXT NOT NULL,
    pattern_id INTEGER NOT NULL REFERENCES code_patterns(id) ON DELETE CASCADE,
    context_type TEXT NOT NULL,
    context_data TEXT NOT NULL
);
CREATE INDEX code_pattern_context_pattern ON code_pattern_context (pattern_id);
CREATE TABLE retrieval_weights (
    project TEXT PRIMARY KEY,
    alpha REAL NOT NULL,
    beta REAL NOT NULL,
    gamma REAL NOT NULL,
    delta REAL NOT NULL,
    epsilon REAL NOT NULL
) WITHOUT ROWID;
"""

STEPS: tuple[str, ...] = (_DOCUMENTS, _WORK)


def migrate(database: Database, path: Path, steps: Sequence[str] = STEPS) -> None:
    """Bring the file to the newest schema, once whoever opens it; keep a copy of one that held an older schema."""
    if schema_version(database) == len(steps):
        return
    database.execute("BEGIN IMMEDIATE")
    try:
        # Read again under the lock: another process may have migrated while this one waited for it.
        found = schema_version(database)
        if found > len(steps):
            raise Misconfigured(
                f"The memory has schema {found}, this program knows {len(steps)}: "
                "install a newer version of this program, or set DB_PATH to another file"
            )
        if 0 < found < len(steps):
            _copy(path, path.with_name(f"{path.name}.schema-{found}"))
        if found == 0:
            database.execute("CREATE TABLE schema_version (version INTEGER PRIMARY KEY, applied_at TEXT NOT NULL)")
        for number, step in enumerate(steps[found:], found + 1):
            database.executescript(step)
            database.execute("INSERT INTO schema_version VALUES (?, strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))", [number])
        database.execute("COMMIT")
    except BaseException:
        if database.conn.in_transaction:
            database.execute("ROLLBACK")
        raise


def schema_version(database: Database) -> int:
    """The schema that the file holds; 0 for an empty one."""
    names = {name for (name,) in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    if "schema_version" in names:
        return int(database.execute("SELECT coalesce(max(version), 0) FROM schema_version").fetchone()[0])
    if names - {"sqlite_sequence"}:
        raise Misconfigured("DB_PATH names a database of another program: move it away, or set DB_PATH to another file")
    return 0


def _copy(source: Path, target: Path) -> None:
    """Write a whole copy, owner-only, under its name only when it is complete."""
    unfinished = target.with_name(f"{target.name}.tmp")
    unfinished.unlink(missing_ok=True)
    os.close(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    # A second connection reads what was last committed, while the migration's own lock keeps writers out.
    with (
        contextlib.closing(sqlite3.connect(source.absolute().as_uri() + "?mode=ro", uri=True)) as reader,
        contextlib.closing(sqlite3.connect(unfinished)) as writer,
    ):
        reader.backup(writer)
    descriptor = os.open(unfinished, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    unfinished.rename(target)
