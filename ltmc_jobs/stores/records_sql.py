"""The statements of the SQLite records. Every value is a parameter; what is put together here are constants alone."""
# ruff: noqa: S608

VERSIONS = """
    SELECT v.resource_id, v.version, r.project, r.file_name, v.resource_type, v.state, v.job_id, (
        SELECT json_group_array(id) FROM (
            SELECT id FROM resource_chunks c
            WHERE c.resource_id = v.resource_id AND c.version = v.version ORDER BY c.chunk_index)
    ) FROM resource_versions v JOIN resources r ON r.id = v.resource_id
"""
CHUNKS = """
    SELECT c.id, c.resource_id, c.version, c.chunk_index, c.content, c.start, c."end",
           r.project, r.file_name, v.resource_type, v.created_at
    FROM resource_chunks c
    JOIN resource_versions v ON v.resource_id = c.resource_id AND v.version = c.version
    JOIN resources r ON r.id = c.resource_id
"""
WITHIN = """
    r.project = :project
    AND (:conversation_id IS NULL OR v.conversation_id = :conversation_id)
    AND (:resource_types IS NULL OR v.resource_type IN (SELECT value FROM json_each(:resource_types)))
    AND (:after IS NULL OR v.created_at >= :after) AND (:before IS NULL OR v.created_at < :before)
"""
NEWEST = "(SELECT max(version) FROM resource_versions n WHERE n.resource_id = r.id)"

VERSION = VERSIONS + "WHERE v.resource_id = ? AND v.version = ?"
VERSION_OF_JOB = VERSIONS + "WHERE v.job_id = :job_id AND r.project = :project AND r.file_name = :file_name"
VERSION_OF_CONTENT = f"""
    {VERSIONS} WHERE r.project = :project AND r.file_name = :file_name AND v.version = {NEWEST}
    AND v.conversation_id IS :conversation_id AND v.resource_type = :resource_type AND v.content_hash = :digest
"""
UNFINISHED = f"""
    {VERSIONS} WHERE v.state IN ('recorded', 'searchable') AND v.created_at <= ?
    ORDER BY v.created_at, v.resource_id, v.version
"""
READABLE_BY_ID = f"""
    {CHUNKS} WHERE c.id IN (SELECT value FROM json_each(?))
    AND (c.version = r.version OR (r.version = 0 AND c.version = {NEWEST}))
"""
CHUNKS_OF_VERSION = f"{CHUNKS} WHERE c.resource_id = ? AND c.version = ? ORDER BY c.chunk_index"
SEARCHABLE = f"""
    SELECT c.id FROM json_each(:ids) wanted CROSS JOIN resource_chunks c ON c.id = wanted.value
    JOIN resources r ON r.id = c.resource_id AND r.version = c.version
    JOIN resource_versions v ON v.resource_id = c.resource_id AND v.version = c.version
    WHERE {WITHIN}
"""
IN_SCOPE = f"""
    SELECT c.id FROM resource_versions v
    JOIN resources r ON r.id = v.resource_id AND r.version = v.version
    JOIN resource_chunks c ON c.resource_id = v.resource_id AND c.version = v.version
    WHERE {WITHIN} ORDER BY c.id LIMIT :limit
"""
# The words drive the full-text index, each from the oldest waiting chunk on, so that a search costs what waits
# and not what is kept. For the same reason a word's rarity is judged by the 200 newest chunks that have it.
WORDS = f"""
    WITH waiting AS MATERIALIZED (
        SELECT c.id FROM resource_versions v
        JOIN resources r ON r.id = v.resource_id AND r.version = 0 AND {WITHIN}
        JOIN resource_chunks c ON c.resource_id = v.resource_id AND c.version = v.version
        WHERE v.state = 'recorded' AND v.version = {NEWEST}),
    weighed AS MATERIALIZED (
        SELECT word.value AS word, 10.0 / (9 + max(1, (
            SELECT count(*) FROM (
                SELECT rowid AS id FROM chunk_words WHERE chunk_words MATCH word.value ORDER BY rowid DESC LIMIT 200
            ) newest JOIN resource_chunks c ON c.id = newest.id
            JOIN resources r ON r.id = c.resource_id AND r.project = :project))) AS weight
        FROM json_each(:words) word WHERE EXISTS (SELECT 1 FROM waiting))
    SELECT chunk_words.rowid, sum(weighed.weight) / (SELECT sum(weight) FROM weighed) AS found
    FROM weighed CROSS JOIN chunk_words
    WHERE chunk_words MATCH weighed.word AND chunk_words.rowid >= (SELECT min(id) FROM waiting)
      AND chunk_words.rowid IN (SELECT id FROM waiting)
    GROUP BY chunk_words.rowid ORDER BY found DESC, chunk_words.rowid LIMIT :limit
"""

WRITE_RESOURCE = """
    INSERT INTO resources (project, file_name, content, resource_type, created_at, updated_at)
    VALUES (:project, :file_name, :content, :resource_type, :now, :now)
    ON CONFLICT (project, file_name) DO UPDATE SET
        content = excluded.content, resource_type = excluded.resource_type, updated_at = excluded.updated_at
    RETURNING id
"""
WRITE_VERSION = """
    INSERT INTO resource_versions
        (resource_id, version, state, resource_type, conversation_id, content_hash, job_id, created_at)
    SELECT :resource_id, 1 + coalesce(max(version), 0), 'recorded', :resource_type, :conversation_id, :digest, :job_id,
           :now
    FROM resource_versions WHERE resource_id = :resource_id
    RETURNING version
"""
WRITE_CHUNK = """
    INSERT INTO resource_chunks (resource_id, version, chunk_index, content, start, "end") VALUES (?, ?, ?, ?, ?, ?)
    RETURNING id
"""
WRITE_VECTOR = """
    INSERT OR IGNORE INTO vectors (chunk_id, project, model, dimension, vector)
    SELECT c.id, r.project, :model, :dimension, :vector
    FROM resource_chunks c JOIN resources r ON r.id = c.resource_id WHERE c.id = :chunk_id
"""
MODEL = "SELECT model, dimension FROM vectors LIMIT 1"
VECTORS_AFTER = """
    SELECT seq, chunk_id, project, vector FROM vectors WHERE project = ? AND seq > ? ORDER BY seq LIMIT ?
"""
SNAPSHOTS = """
    SELECT project, seq, model, dimension, "rows", size_bytes, crc32 FROM vector_snapshots
    WHERE :project IS NULL OR project = :project
"""
NOTE_SNAPSHOT = """
    INSERT OR REPLACE INTO vector_snapshots (project, seq, model, dimension, "rows", size_bytes, crc32)
    VALUES (?, ?, ?, ?, ?, ?, ?)
"""

UNEMBEDDED = """
    SELECT 1 FROM resource_chunks c WHERE c.resource_id = ? AND c.version = ?
    AND NOT EXISTS (SELECT 1 FROM vectors WHERE chunk_id = c.id)
"""
SHOW_VERSION = "UPDATE resources SET version = :version WHERE id = :id"
MOVE_STATES = """
    UPDATE resource_versions SET state = CASE version WHEN :version THEN 'searchable' ELSE 'superseded' END
    WHERE resource_id = :id AND version <= :version
"""
DROP_OLDER = "DELETE FROM resource_chunks WHERE resource_id = :id AND version < :version"
MARK_LINKED = """
    UPDATE resource_versions SET state = 'linked' WHERE resource_id = ? AND version = ? AND state = 'searchable'
"""
PROJECTS = "SELECT DISTINCT project FROM resources ORDER BY project"
COUNTS = """
    SELECT (SELECT count(*) FROM resources), (SELECT count(*) FROM resource_versions),
           (SELECT count(*) FROM resource_chunks), (SELECT count(*) FROM vectors)
"""
