"""The memory out into a file, and in from one: of ours, or of another memory."""
