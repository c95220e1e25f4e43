"""Kinds of memory: dialogue, document, code; each is searched with weights of its own."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What a text is like, as far as finding it goes."""

    DIALOGUE = "dialogue"  # turns of speech, whose neighbours say what they are about
    DOCUMENT = "document"
    CODE = "code"


DIALOGUE_TYPES = frozenset(
    ("chat", "conversation", "dialog", "dialogue", "meeting", "message", "messages", "transcript", "turn")
)
CODE_TYPES = frozenset(("code", "code_pattern", "snippet", "source", "source_code"))


@dataclass(frozen=True, slots=True)
class Weights:
    """How much each signal counts: `meaning` and `words` add up to one; a neighbour one away counts `neighbours`."""

    meaning: float
    words: float
    neighbours: float


# Measured on dialogues, documents and code; benchmarks/README.md tells how much hangs on each.
WEIGHTS = {
    Kind.DIALOGUE: Weights(meaning=0.5, words=0.5, neighbours=0.35),
    Kind.DOCUMENT: Weights(meaning=0.4, words=0.6, neighbours=0.1),
    Kind.CODE: Weights(meaning=0.7, words=0.3, neighbours=0.0),
}


def kind_of(resource_type: str, *, is_part: bool) -> Kind:
    """The kind of a document of this type; `is_part`: of a conversation."""
    name = resource_type.lower()
    if name in CODE_TYPES:
        return Kind.CODE
    return Kind.DIALOGUE if is_part or name in DIALOGUE_TYPES else Kind.DOCUMENT
