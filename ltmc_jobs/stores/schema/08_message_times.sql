-- When something was said: an import looks for a message that is there already.
CREATE INDEX chat_history_time ON chat_history (project, conversation_id, timestamp);
