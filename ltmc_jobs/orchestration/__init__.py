"""State the workers share: one class a file, Redis only."""
