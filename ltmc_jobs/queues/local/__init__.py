"""Calls served on this machine while the queue is off or away, each recorded with its real end."""
