"""What is stored and asked in the benchmark of retrieval, and the systems that take part."""
