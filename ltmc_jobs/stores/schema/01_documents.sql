-- Documents, their versions, chunks and vectors; the graph's nodes and edges.
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
