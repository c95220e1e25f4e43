-- What lists and completions look up: newest documents, and who spoke.
CREATE INDEX resources_newest ON resources (project, updated_at, id);
CREATE INDEX chat_history_agent ON chat_history (project, agent_name, timestamp) WHERE agent_name IS NOT NULL;
