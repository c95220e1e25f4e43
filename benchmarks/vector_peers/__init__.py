"""Who is measured beside our index, on which vectors, and how."""
