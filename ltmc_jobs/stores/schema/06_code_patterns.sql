-- Attempts at code: the job that logged one, so that it is logged once; the document that it is found by.
ALTER TABLE code_patterns ADD COLUMN job_id TEXT;
ALTER TABLE code_patterns ADD COLUMN resource_id INTEGER REFERENCES resources(id) ON DELETE SET NULL;
CREATE UNIQUE INDEX code_patterns_job ON code_patterns (project, job_id) WHERE job_id IS NOT NULL;
CREATE INDEX code_patterns_resource ON code_patterns (resource_id);
CREATE INDEX code_patterns_time ON code_patterns (project, created_at);
