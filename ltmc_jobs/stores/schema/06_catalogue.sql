-- What lists and completions look up: newest documents, a conversation's documents, who spoke.
CREATE INDEX resources_newest ON resources (project, updated_at, id);
CREATE INDEX resource_versions_conversation ON resource_versions (conversation_id, resource_id)
    WHERE conversation_id IS NOT NULL;
CREATE INDEX chat_history_agent ON chat_history (project, agent_name, timestamp) WHERE agent_name IS NOT NULL;
