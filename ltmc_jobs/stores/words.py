"""The words of a query that are looked up in the texts."""

from __future__ import annotations

import re

WORDS_MAX = 64  # distinct words of a query that are looked up

# Words that nearly every English text has: to share them says nothing.
STOP_WORDS = frozenset(
    """
    a about after all also am an and any are as at be because been before being but by can could did do does doing for
    from had has have having he her here him his how i if in into is it its just me more most my no not now of on one or
    other our out over own please she should so some such tell than that the their them then there these they this those
    through to too under up us very was we were what when where which while who whom why will with would you your
    """.split()  # noqa: SIM905
)


def distinctive(query: str) -> tuple[list[str], bool]:
    """The distinct words of a query without stop words; where nothing else is in it, those, and False."""
    words = list(dict.fromkeys(re.findall(r"\w+", query.lower())))
    kept = [word for word in words if word not in STOP_WORDS]
    return (kept or words)[:WORDS_MAX], bool(kept)
