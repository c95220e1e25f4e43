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
    SELECT c.id, c.resource_id, c.version, c.chunk_index, c.content, c.start, c."end", v.project, r.file_name,
           v.resource_type, v.created_at, c.header, v.conversation_id, v.speaker, v.occurred_at
    FROM resource_chunks c
    JOIN resource_versions v ON v.resource_id = c.resource_id AND v.version = c.version
    JOIN resources r ON r.id = c.resource_id
"""
TIME = "coalesce(v.occurred_at, v.created_at)"
# What limits a scope, beside its project. A limit that is not given does not stand in the statement: an index is taken
# only for what does.
LIMITS = {
    "conversation_id": "v.conversation_id = :conversation_id",
    "resource_types": "v.resource_type IN (SELECT value FROM json_each(:resource_types))",
    "after": f"{TIME} >= :after",
    "before": f"{TIME} < :before",
}
NEWEST = "(SELECT max(version) FROM resource_versions n WHERE n.resource_id = r.id)"

VERSION = VERSIONS + "WHERE v.resource_id = ? AND v.version = ?"
VERSION_OF_JOB = VERSIONS + "WHERE v.job_id = :job_id AND r.project = :project AND r.file_name = :file_name"
VERSION_OF_CONTENT = f"""
    {VERSIONS} WHERE r.project = :project AND r.file_name = :file_name AND v.version = {NEWEST}
    AND v.conversation_id IS :conversation_id AND v.resource_type = :resource_type AND v.content_hash = :digest
    AND v.speaker IS :speaker AND v.occurred_at IS :occurred_at AND (:position IS NULL OR v.position = :position)
"""
UNFINISHED = f"""
    {VERSIONS} WHERE v.state IN ('recorded', 'searchable') AND v.created_at <= ?
    ORDER BY v.created_at, v.resource_id, v.version
"""
READABLE_BY_ID = f"{CHUNKS} WHERE c.id IN (SELECT value FROM json_each(?)) AND c.visibility > 0"
CHUNKS_OF_VERSION = f"{CHUNKS} WHERE c.resource_id = ? AND c.version = ? ORDER BY c.chunk_index"
# Of the whole project no version has to be looked at: the index and the words hold one project's chunks alone.
VISIBLE = """
    SELECT c.id FROM json_each(:ids) wanted CROSS JOIN resource_chunks c ON c.id = wanted.value
    WHERE c.visibility >= :visibility
"""
# {within} stands for a scope.
VISIBLE_WITHIN = """
    SELECT c.id FROM json_each(:ids) wanted CROSS JOIN resource_chunks c ON c.id = wanted.value
    JOIN resource_versions v ON v.resource_id = c.resource_id AND v.version = c.version
    WHERE c.visibility >= :visibility AND {within}
"""
IN_SCOPE = """
    SELECT c.id FROM resource_versions v
    JOIN resource_chunks c ON c.resource_id = v.resource_id AND c.version = v.version AND c.visibility = 2
    WHERE v.chunk_count > 0 AND {within} LIMIT :limit
"""
# The rarity of a word is judged against no more documents than this: beyond, it changes nothing that matters.
CHUNKS_IN_SCOPE = """
    SELECT coalesce(sum(chunk_count), 0) FROM (
        SELECT v.chunk_count FROM resource_versions v WHERE v.chunk_count > 0 AND {within} LIMIT 2000)
"""
# By the index that has what is read: the table's rows have the texts in them.
WITH_WORD = """
    SELECT group_concat(c.id), group_concat(c.size) FROM chunk_words f
    CROSS JOIN resource_chunks c INDEXED BY resource_chunks_sizes ON c.id = f.rowid
    WHERE chunk_words MATCH :match AND c.visibility > 0
"""
WITH_WORD_WITHIN = """
    SELECT group_concat(c.id), group_concat(c.size) FROM chunk_words f CROSS JOIN resource_chunks c ON c.id = f.rowid
    JOIN resource_versions v ON v.resource_id = c.resource_id AND v.version = c.version
    WHERE chunk_words MATCH :match AND c.visibility > 0 AND {within}
"""
MATCHING = "SELECT group_concat(rowid) FROM chunk_words WHERE chunk_words MATCH :match"
PLACES = """
    SELECT c.id, c.resource_id, v.resource_type, v.conversation_id IS NOT NULL FROM json_each(?) wanted
    CROSS JOIN resource_chunks c ON c.id = wanted.value
    JOIN resource_versions v ON v.resource_id = c.resource_id AND v.version = c.version
"""
# At most two away: in the document, and across the documents of a conversation, where half a day ends it.
NEAR = """
    WITH wanted AS MATERIALIZED (
        SELECT c.id, c.resource_id, c.version, c.chunk_index, v.project, v.conversation_id, v.position, v.occurred_at,
               v.chunk_count
        FROM json_each(?) ids CROSS JOIN resource_chunks c ON c.id = ids.value
        JOIN resource_versions v ON v.resource_id = c.resource_id AND v.version = c.version)
    SELECT w.id, c.id, abs(c.chunk_index - w.chunk_index) FROM wanted w CROSS JOIN resource_chunks c
        ON c.resource_id = w.resource_id AND c.version = w.version
        AND c.chunk_index BETWEEN w.chunk_index - 2 AND w.chunk_index + 2 AND c.id <> w.id
    UNION ALL
    SELECT * FROM (
        SELECT w.id, c.id, CASE WHEN v.position > w.position
            THEN v.position - w.position + w.chunk_count - 1 - w.chunk_index + c.chunk_index
            ELSE w.position - v.position + w.chunk_index + v.chunk_count - 1 - c.chunk_index END AS distance
        FROM wanted w CROSS JOIN resource_versions v
            ON v.project = w.project AND v.conversation_id = w.conversation_id
            AND v.position BETWEEN w.position - 2 AND w.position + 2
            AND v.resource_id <> w.resource_id AND v.chunk_count > 0
            AND (v.occurred_at IS NULL OR w.occurred_at IS NULL
                 OR abs(julianday(v.occurred_at) - julianday(w.occurred_at)) < 0.5)
        CROSS JOIN resource_chunks c ON c.resource_id = v.resource_id AND c.version = v.version AND c.visibility > 0
            AND (c.chunk_index < 2 OR c.chunk_index >= v.chunk_count - 2)
    ) WHERE distance BETWEEN 1 AND 2
"""

WRITE_RESOURCE = """
    INSERT INTO resources (project, file_name, content, resource_type, created_at, updated_at)
    VALUES (:project, :file_name, :content, :resource_type, :now, :now)
    ON CONFLICT (project, file_name) DO UPDATE SET
        content = excluded.content, resource_type = excluded.resource_type, updated_at = excluded.updated_at
    RETURNING id
"""
# A new version keeps its place in the conversation; a new document goes behind the last one.
WRITE_VERSION = """
    INSERT INTO resource_versions (resource_id, version, state, project, resource_type, conversation_id, speaker,
        occurred_at, position, chunk_count, content_hash, job_id, created_at)
    SELECT :resource_id, 1 + coalesce(max(version), 0), 'recorded', :project, :resource_type, :conversation_id,
           :speaker, :occurred_at, coalesce(:position, (
                SELECT max(position) FROM resource_versions
                WHERE resource_id = :resource_id AND conversation_id = :conversation_id
           ), (
                SELECT 1 + coalesce(max(position), 0) FROM resource_versions
                WHERE project = :project AND conversation_id = :conversation_id
           )), :chunk_count, :digest, :job_id, :now
    FROM resource_versions WHERE resource_id = :resource_id
    RETURNING version
"""
# Words of a first version can be found at once; the chunks that they were found in before are waiting ones now.
HIDE_WAITING = "UPDATE resource_chunks SET visibility = 0 WHERE resource_id = :resource_id AND visibility = 1"
IS_VISIBLE = "SELECT version > 0 FROM resources WHERE id = :resource_id"
WRITE_CHUNK = """
    INSERT INTO resource_chunks (resource_id, version, chunk_index, content, start, "end", header, terms, again, often,
        size, scope, visibility)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
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
    UPDATE resource_versions SET
        state = CASE version WHEN :version THEN 'searchable' ELSE 'superseded' END,
        chunk_count = CASE version WHEN :version THEN chunk_count ELSE 0 END
    WHERE resource_id = :id AND version <= :version
"""
SHOW_CHUNKS = """
    UPDATE resource_chunks SET visibility = CASE version WHEN :version THEN 2 ELSE 0 END WHERE resource_id = :id
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
