"""Tools of your own: start the platform with LTMC_TOOLS=examples/mytools.py, and call them as you call ours."""

from collections import Counter

from ltmc_jobs import tool


@tool
def frequent_words(text: str, most: int = 3) -> dict[str, int]:
    """Count the most frequent words of a text."""
    return dict(Counter(text.lower().split()).most_common(most))
