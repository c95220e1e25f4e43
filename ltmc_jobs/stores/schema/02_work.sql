-- What agents do: chats, todos, attempts at code, and what links them to chunks.
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
