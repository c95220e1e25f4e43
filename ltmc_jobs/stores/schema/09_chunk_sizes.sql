-- A chunk's length beside its id, without its text: what a search by words reads of every chunk that has one.
CREATE INDEX resource_chunks_sizes ON resource_chunks (id, visibility, size);
