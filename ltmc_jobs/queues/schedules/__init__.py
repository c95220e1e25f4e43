"""Schedules: when jobs recur, and the clockwork that fires them, each tick once."""
