"""Naming: what callers call things and relations, and what the graph calls them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from ltmc_jobs.errors import InvalidArguments
from ltmc_jobs.stores.contracts import Corpus, Edge, End, Graph

Name = str | int

WORDS = "name"  # the property of an edge that keeps a relation's words as they were given first
CODE_PATTERN = "code_pattern"  # the type, and the beginning of the names, of what attempts at code are found by
BY_NUMBER = {"chunk": "Chunk", "message": "Message"}
_NUMBERED = re.compile(r"(chunk|message):(\d{1,18})")
_RESOURCE_ID = re.compile(r"[1-9]\d{0,17}")


def relation_of(words: str) -> str:
    """The relation that some words name: "depends on", "Depends-on" and "DEPENDS_ON" are one, "C" and "C++" are two.

    Letters and digits of any alphabet stay, blanks and hyphens become underscores, and a sign is spelled out.
    """
    upper = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", words).upper())
    spelled = "".join(map(_spelled, upper))
    parts = [part for part in re.split(r"[\s_-]+", spelled) if part]
    if not parts:
        raise InvalidArguments("a relation needs a word, as in: depends on", field="relation")
    name = "_".join(parts)
    return name if name[0].isalpha() and not name[0].islower() else f"R_{name}"


def check_file_name(name: str) -> None:
    """Refuse the name of what an attempt at code is found by: the one would take the other's place."""
    if name.startswith(f"{CODE_PATTERN}/"):
        raise InvalidArguments(f"names that begin with {CODE_PATTERN}/ belong to log_code_attempt", field="file_name")


def words_of(edge: Edge) -> str:
    """A relation in the words in which it was given; as the graph calls it if nobody gave any."""
    return str(edge.properties.get(WORDS, edge.relation))


def name_of(end: End) -> str:
    """What callers call a node; `ends_of` reads it back."""
    label, key = end
    return f"{label.lower()}:{key}" if label in BY_NUMBER.values() else key


def ends_of(corpus: Corpus, graph: Graph, project: str, names: Sequence[Name]) -> dict[Name, End]:
    """The nodes that names mean: a document by its name, else by its number; `chunk:7`, `message:7`; else an entity.

    A number that is given as one is a document's, if there is one; it may also be the name of another.
    """
    wanted = list(dict.fromkeys(names))
    texts = [name for name in wanted if isinstance(name, str)]
    found: dict[Name, End] = {name: ("Document", name) for name in corpus.named(project, texts)}
    if rest := [name for name in texts if name not in found]:
        # Linked by its text, and never stored.
        found |= {node.key: ("Document", node.key) for node in graph.nodes(project, "Document", rest)}
    numbers = {name: _number(name) for name in wanted if name not in found}
    numbered = corpus.numbered(project, {number for number in numbers.values() if number})
    found |= {name: ("Document", numbered[number].file_name) for name, number in numbers.items() if number in numbered}
    return {name: found.get(name) or _other(str(name)) for name in wanted}


def _number(name: Name) -> int | None:
    return int(name) if _RESOURCE_ID.fullmatch(str(name)) else None


def _other(name: str) -> End:
    known = _NUMBERED.fullmatch(name)
    return (BY_NUMBER[known[1]], known[2]) if known else ("Entity", name)


def _spelled(sign: str) -> str:
    if sign.isalnum() or sign.isspace() or sign in "_-" or unicodedata.category(sign).startswith("M"):
        return sign
    return f"_{unicodedata.name(sign, f'SIGN {ord(sign):X}')}_"
