"""How good an answer is: recall, hits and reciprocal rank, over texts or over the characters that they cover."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.retrieval_peers.cases import Case, Question, Span

DEPTH = 10


def score(case: Case, question: Question, found: Sequence[Span]) -> dict[str, float]:
    """The figures of one answer, each 0 to 1."""
    first = next((rank for rank, span in enumerate(found[:DEPTH], 1) if _answers(case, question, span)), 0)
    share = _covered if case.by_span else _named
    return {
        "recall@5": share(question, found[:5]),
        "recall@10": share(question, found[:DEPTH]),
        "hit@5": float(0 < first <= 5),
        "hit@10": float(first > 0),
        "MRR@10": 1 / first if first else 0.0,
    }


def _answers(case: Case, question: Question, span: Span) -> bool:
    """Whether a passage has something of what is asked for."""
    return any(
        span.name == gold.name and (not case.by_span or (span.start < gold.end and span.end > gold.start))
        for gold in question.gold
    )


def _named(question: Question, found: Sequence[Span]) -> float:
    gold = {span.name for span in question.gold}
    return len(gold & {span.name for span in found}) / len(gold)


def _covered(question: Question, found: Sequence[Span]) -> float:
    gold = {(span.name, at) for span in question.gold for at in range(span.start, span.end)}
    return len(gold & {(span.name, at) for span in found for at in range(span.start, span.end)}) / len(gold)
