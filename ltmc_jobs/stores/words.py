"""Words: what of a text the word index keeps beside it, and what of a query is looked up."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

WORDS_MAX = 32  # distinct words of a query that are looked up: a passage given as a query has enough in them
QUESTION_WORDS = 12  # a query of no more is looked at closely: its neighbours, and how often each word stands
WORD = re.compile(r"\w+")
PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")  # of an identifier in camelCase

# Words that nearly every English text has: to share them says nothing.
STOP_WORDS = frozenset(
    """
    a about after all also am an and any are as at be because been before being but by can could did do does doing for
    from had has have having he her here him his how i if in into is it its just me more most my no not now of on one or
    other our out over own please she should so some such tell than that the their them then there these they this those
    through to too under up us very was we were what when where which while who whom why will with would you your
    """.split()  # noqa: SIM905
)


@dataclass(frozen=True, slots=True)
class Terms:
    """What the index holds of a text beside the text itself."""

    size: int  # words in it
    parts: str  # of identifiers, which the index takes for one word
    again: str  # words that stand in it twice or more
    often: str  # words that stand in it four times or more


@dataclass(frozen=True, slots=True)
class Asked:
    """What is looked up for a query: its distinct words, and its pairs of neighbours."""

    words: tuple[str, ...]
    pairs: tuple[str, ...]
    is_telling: bool  # False: it has stop words alone
    is_question: bool  # False: a passage, whose words tell enough by being there


def terms_of(text: str) -> Terms:
    """Count a text's words; stop words are not worth a note."""
    found = WORD.findall(text)
    parts = [part.lower() for word in found if (split := _parts(word)) for part in split]
    counted = Counter(word.lower() for word in found)
    counted.update(parts)
    repeated = {word: n for word, n in counted.items() if n > 1 and word not in STOP_WORDS}
    often = " ".join(word for word, n in repeated.items() if n > 3)
    return Terms(len(found), " ".join(parts), " ".join(repeated), often)


def asked_in(query: str) -> Asked:
    """The words of a query without stop words; where it has nothing else, those."""
    raw = WORD.findall(query)
    split = [word.lower() for found in raw for word in (found, *_parts(found))]
    telling = [word for word in dict.fromkeys(split) if word not in STOP_WORDS]
    plain = [word.lower() for word in raw]
    pairs = [
        f"{first} {second}" for first, second in pairwise(plain) if first != second and not {first, second} & STOP_WORDS
    ]
    words = telling or list(dict.fromkeys(split))
    is_question = len(words) <= QUESTION_WORDS
    return Asked(
        tuple(words[:WORDS_MAX]), tuple(dict.fromkeys(pairs)) if is_question else (), bool(telling), is_question
    )


def distinctive(query: str) -> tuple[list[str], bool]:
    """The distinct words of a query without stop words; where nothing else is in it, those, and False."""
    found = asked_in(query)
    return list(found.words), found.is_telling


def _parts(word: str) -> list[str]:
    """Of an identifier in camelCase or snake_case with capitals; nothing of a plain word."""
    if word.islower() or word.isupper() or not word.isascii():
        return []
    parts = PART.findall(word)
    return parts if len(parts) > 1 else []
