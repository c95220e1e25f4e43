"""Chunks by their words, in SQLite's full-text index: BM25 by the statistics of the scope that is asked alone.

The index finds (porter stems, in the scope, by its terms); the scores are made here, because its own would be weighed
by the texts of every project. How often a word stands in a chunk is known in three steps: once, twice, four times.
"""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlite_utils import Database

from ltmc_jobs.stores import records_sql as sql
from ltmc_jobs.stores.contracts import Document, Scope, WordsFound
from ltmc_jobs.stores.words import asked_in

K1, B = 0.9, 0.4  # BM25's, as they fit turns of speech and passages
TWICE, OFTEN = 2.3, 5.0  # what the steps of repetition stand for
PAIR_WEIGHS = 0.5  # of a word that is as rare
STOP_WORDS_STRENGTH = 0.1  # a query of nothing else is answered, behind anything better

Ids = npt.NDArray[np.int64]


def find_words(database: Database, query: str, scope: Scope) -> WordsFound:
    """Score every readable chunk of the scope that has a word of the query."""
    asked = asked_in(query)
    words = [_Word(database, scope, word) for word in asked.words]
    found = [word for word in words if len(word.ids)]
    if not found:
        return WordsFound({}, 0.0)
    ids, where = np.unique(np.concatenate([word.ids for word in found]), return_inverse=True)
    sizes = np.zeros(len(ids))
    sizes[where] = np.concatenate([word.sizes for word in found])
    counted = int(database.execute(*within(scope, sql.CHUNKS_IN_SCOPE)).fetchone()[0])
    total = max(counted, len(ids))  # of a scope of more documents than are counted
    shortened = K1 * (1 - B + B * sizes / sizes.mean())
    scores = np.zeros(len(ids))
    for word in found:
        at = np.searchsorted(ids, word.ids)
        times = word.times() if asked.is_question else np.ones(len(word.ids))
        scores[at] += rarity(len(word.ids), total) * times * (K1 + 1) / (times + shortened[at])
    for pair in asked.pairs:
        beside = np.intersect1d(_matching(database, _match(scope, "text", pair)), ids, assume_unique=True)
        scores[np.searchsorted(ids, beside)] += PAIR_WEIGHS * rarity(len(beside), total)
    strength = 1.0 if asked.is_telling else STOP_WORDS_STRENGTH
    ideal = sum(rarity(len(word.ids), total) for word in words)
    return WordsFound(dict(zip(ids.tolist(), scores.tolist(), strict=True)), ideal, strength)


class _Word:
    """Where one word stands."""

    def __init__(self, database: Database, scope: Scope, word: str) -> None:
        self._database, self._scope, self._word = database, scope, word
        statement = sql.WITH_WORD if scope.after is None and scope.before is None else sql.WITH_WORD_WITHIN
        found = database.execute(*within(scope, statement, match=_match(scope, "text", word))).fetchone()
        self.ids, self.sizes = map(_numbers, found)

    def times(self) -> npt.NDArray[np.float64]:
        """How often it stands in each of its chunks, in steps."""
        times = np.ones(len(self.ids))
        for column, value in (("again", TWICE), ("often", OFTEN)):
            repeated = _matching(self._database, _match(self._scope, column, self._word))
            if not len(repeated):
                break
            at = np.minimum(np.searchsorted(self.ids, repeated), len(self.ids) - 1)  # the index gives rows in order
            times[at[self.ids[at] == repeated]] = value
        return times


def rarity(chunks: int, total: int) -> float:
    """BM25's weight of a word that stands in so many of the chunks."""
    return math.log(1 + (total - chunks + 0.5) / (chunks + 0.5)) if total >= chunks else 0.0


def within(scope: Scope, statement: str, **values: Any) -> tuple[str, dict[str, Any]]:
    """A statement for a scope, and its parameters."""
    given = {
        "conversation_id": scope.conversation_id,
        "resource_types": json.dumps(scope.resource_types) if scope.resource_types else None,
        "after": scope.after,
        "before": scope.before,
    }
    limits = [limit for name, limit in sql.LIMITS.items() if given[name] is not None]
    clause = " AND ".join(["v.project = :project", *limits])
    return statement.replace("{within}", clause), {"project": scope.project, **given, **values}


def scope_terms(document: Document) -> str:
    """What the index knows a document's scopes by."""
    terms = [_term("p", document.project), _term("t", document.resource_type)]
    return " ".join(terms + ([] if document.conversation_id is None else [_term("c", document.conversation_id)]))


def _match(scope: Scope, column: str, words: str) -> str:
    """Words in a column, within the scope. Quoted: nothing in them is read as an operator."""
    terms = [f'"{_term("p", scope.project)}"']
    if scope.conversation_id is not None:
        terms.append(f'"{_term("c", scope.conversation_id)}"')
    if scope.resource_types:
        terms.append("(" + " OR ".join(f'"{_term("t", name)}"' for name in scope.resource_types) + ")")
    return f'scope : ({" AND ".join(terms)}) AND {column} : "{words}"'


def _term(kind: str, name: str) -> str:
    # One word for the tokenizer, whatever the name holds; the x keeps the stemmer away from its end.
    return f"{kind}{name.encode().hex()}x"


def _matching(database: Database, match: str) -> Ids:
    return _numbers(database.execute(sql.MATCHING, {"match": match}).fetchone()[0])


def _numbers(joined: str | None) -> Ids:
    """Numbers as group_concat gives them: a row of its own for each is half as much work again."""
    return np.fromstring(joined or "", dtype=np.int64, sep=",")
