"""Copies of a whole installation: one file that is taken while it runs, and put back into any home."""
