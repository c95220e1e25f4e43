"""A tool that does nothing, declared as a user declares one (LTMC_TOOLS)."""

from __future__ import annotations

from ltmc_jobs.registry import tool


@tool
def answer_at_once(number: int) -> int:
    """Give the number back."""
    return number


@tool(queue="low")
def answer_later(number: int) -> int:
    """Give the number back, from a queue that the benchmark pauses."""
    return number
