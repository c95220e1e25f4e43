-- Chats, todos and links: the job that wrote them, the words in them, and the orders in which they are read.
ALTER TABLE chat_history ADD COLUMN job_id TEXT;
CREATE UNIQUE INDEX chat_history_job ON chat_history (project, job_id);
DROP INDEX chat_history_tool;
CREATE INDEX chat_history_tool ON chat_history (project, source_tool, timestamp, id) WHERE source_tool IS NOT NULL;
CREATE INDEX chat_history_tool_conversation
    ON chat_history (project, source_tool, conversation_id, timestamp, id, role) WHERE source_tool IS NOT NULL;
CREATE VIRTUAL TABLE chat_words USING fts5(
    content, content='chat_history', content_rowid='id', tokenize='porter unicode61 remove_diacritics 2'
);
INSERT INTO chat_words (chat_words) VALUES ('rebuild');
CREATE TRIGGER chat_history_words_insert AFTER INSERT ON chat_history BEGIN
    INSERT INTO chat_words (rowid, content) VALUES (new.id, new.content);
END;
CREATE TRIGGER chat_history_words_delete AFTER DELETE ON chat_history BEGIN
    INSERT INTO chat_words (chat_words, rowid, content) VALUES ('delete', old.id, old.content);
END;
CREATE TRIGGER chat_history_words_update AFTER UPDATE OF content ON chat_history BEGIN
    INSERT INTO chat_words (chat_words, rowid, content) VALUES ('delete', old.id, old.content);
    INSERT INTO chat_words (rowid, content) VALUES (new.id, new.content);
END;

ALTER TABLE context_links ADD COLUMN job_id TEXT;
CREATE INDEX context_links_project ON context_links (project, chunk_id, message_id);

ALTER TABLE todos ADD COLUMN job_id TEXT;
ALTER TABLE todos ADD COLUMN completed_job_id TEXT;
CREATE UNIQUE INDEX todos_job ON todos (project, job_id);
DROP INDEX todos_open;
CREATE INDEX todos_completed ON todos (project, completed, created_at, id);
CREATE INDEX todos_created ON todos (project, created_at, id);
CREATE VIRTUAL TABLE todo_words USING fts5(
    title, description, content='todos', content_rowid='id', tokenize='porter unicode61 remove_diacritics 2'
);
INSERT INTO todo_words (todo_words) VALUES ('rebuild');
CREATE TRIGGER todos_words_insert AFTER INSERT ON todos BEGIN
    INSERT INTO todo_words (rowid, title, description) VALUES (new.id, new.title, new.description);
END;
CREATE TRIGGER todos_words_delete AFTER DELETE ON todos BEGIN
    INSERT INTO todo_words (todo_words, rowid, title, description)
    VALUES ('delete', old.id, old.title, old.description);
END;
CREATE TRIGGER todos_words_update AFTER UPDATE OF title, description ON todos BEGIN
    INSERT INTO todo_words (todo_words, rowid, title, description)
    VALUES ('delete', old.id, old.title, old.description);
    INSERT INTO todo_words (rowid, title, description) VALUES (new.id, new.title, new.description);
END;
