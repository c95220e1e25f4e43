-- Which text a vector was made of; and the vectors of another model while they are made, beside those in use.
CREATE TABLE vector_texts (
    chunk_id INTEGER PRIMARY KEY REFERENCES vectors(chunk_id) ON DELETE CASCADE,
    digest TEXT NOT NULL
);
CREATE INDEX vector_texts_digest ON vector_texts (digest);
CREATE TABLE vectors_next (
    chunk_id INTEGER PRIMARY KEY REFERENCES resource_chunks(id) ON DELETE CASCADE,
    digest TEXT NOT NULL,
    dimension INTEGER NOT NULL,
    vector BLOB NOT NULL
);
CREATE TABLE reindexing (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    model TEXT NOT NULL
);
