"""Models: embedding, completion, batches."""
