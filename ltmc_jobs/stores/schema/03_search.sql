-- Search by words beside meaning: who said it, when, and its place in a conversation; what readers may see of a chunk;
-- a word index that knows scopes and repeated words, so that it can be asked within a scope alone.
ALTER TABLE resource_versions ADD COLUMN project TEXT NOT NULL DEFAULT '';
ALTER TABLE resource_versions ADD COLUMN speaker TEXT;
ALTER TABLE resource_versions ADD COLUMN occurred_at TEXT;
ALTER TABLE resource_versions ADD COLUMN position INTEGER;
ALTER TABLE resource_versions ADD COLUMN chunk_count INTEGER NOT NULL DEFAULT 0;
UPDATE resource_versions SET
    project = (SELECT r.project FROM resources r WHERE r.id = resource_id),
    chunk_count = (
        SELECT count(*) FROM resource_chunks c
        WHERE c.resource_id = resource_versions.resource_id AND c.version = resource_versions.version);
UPDATE resource_versions SET position = placed.position FROM (
    SELECT resource_id, version, row_number() OVER (
        PARTITION BY project, conversation_id ORDER BY created_at, resource_id) AS position
    FROM resource_versions WHERE conversation_id IS NOT NULL
) placed WHERE placed.resource_id = resource_versions.resource_id AND placed.version = resource_versions.version;
CREATE INDEX resource_versions_conversation ON resource_versions (project, conversation_id, position);
CREATE INDEX resource_versions_type ON resource_versions (project, resource_type);
CREATE INDEX resource_versions_time ON resource_versions (project, coalesce(occurred_at, created_at));

-- visibility: 0 waits behind a visible version, 1 found by its words alone, 2 searchable.
ALTER TABLE resource_chunks ADD COLUMN visibility INTEGER NOT NULL DEFAULT 0;
ALTER TABLE resource_chunks ADD COLUMN size INTEGER NOT NULL DEFAULT 0;
ALTER TABLE resource_chunks ADD COLUMN header TEXT NOT NULL DEFAULT '';
ALTER TABLE resource_chunks ADD COLUMN terms TEXT NOT NULL DEFAULT '';
ALTER TABLE resource_chunks ADD COLUMN again TEXT NOT NULL DEFAULT '';
ALTER TABLE resource_chunks ADD COLUMN often TEXT NOT NULL DEFAULT '';
ALTER TABLE resource_chunks ADD COLUMN scope TEXT NOT NULL DEFAULT '';
DROP TRIGGER resource_chunks_words_insert;
DROP TRIGGER resource_chunks_words_delete;
DROP TABLE chunk_words;
UPDATE resource_chunks SET
    size = length(content) - length(replace(content, ' ', '')) + 1,
    visibility = found.visibility,
    scope = 'p' || lower(hex(found.project)) || 'x t' || lower(hex(found.resource_type)) || 'x'
        || coalesce(' c' || lower(hex(found.conversation_id)) || 'x', '')
FROM (
    SELECT v.resource_id, v.version, v.project, v.resource_type, v.conversation_id, CASE
        WHEN v.version = r.version THEN 2
        WHEN r.version = 0 AND v.version = (
            SELECT max(n.version) FROM resource_versions n WHERE n.resource_id = r.id) THEN 1
        ELSE 0 END AS visibility
    FROM resource_versions v JOIN resources r ON r.id = v.resource_id
) found WHERE found.resource_id = resource_chunks.resource_id AND found.version = resource_chunks.version;
CREATE VIEW chunk_texts AS
    SELECT id, header || content || ' ' || terms AS text, again, often, scope FROM resource_chunks;
CREATE VIRTUAL TABLE chunk_words USING fts5(
    text, again, often, scope, content='chunk_texts', content_rowid='id', columnsize=0, tokenize='porter unicode61'
);
INSERT INTO chunk_words (chunk_words) VALUES ('rebuild');
CREATE TRIGGER resource_chunks_words_insert AFTER INSERT ON resource_chunks BEGIN
    INSERT INTO chunk_words (rowid, text, again, often, scope)
    VALUES (new.id, new.header || new.content || ' ' || new.terms, new.again, new.often, new.scope);
END;
CREATE TRIGGER resource_chunks_words_delete AFTER DELETE ON resource_chunks BEGIN
    INSERT INTO chunk_words (chunk_words, rowid, text, again, often, scope)
    VALUES ('delete', old.id, old.header || old.content || ' ' || old.terms, old.again, old.often, old.scope);
END;

-- How much each signal of a search counts, by kind of memory; the built-in weights where a project has none.
DROP TABLE retrieval_weights;
CREATE TABLE retrieval_weights (
    project TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('dialogue', 'document', 'code')),
    meaning REAL NOT NULL,
    words REAL NOT NULL,
    neighbours REAL NOT NULL,
    PRIMARY KEY (project, kind)
) WITHOUT ROWID;
