"""Context: documents put together as one text within a budget of tokens. It depends on nothing but its arguments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ltmc_jobs.llm import minilm
from ltmc_jobs.results.context import BuiltContext

BETWEEN = "\n\n"  # white space: the tokenizer ends a word there, so that the tokens of the parts add up


def build(documents: Sequence[dict[str, Any]], max_tokens: int) -> BuiltContext:
    """Documents `{content, title?, score?}` by score, the highest first, equal ones as given, each whole or not at all.

    One that does not fit is left out, and those behind it are tried; one without a visible character is passed over.
    Counted is as by `count_tokens`.
    """
    order = sorted(range(len(documents)), key=lambda place: -_score(documents[place]))
    included, left_out, room = [], [], max_tokens
    for place in order:
        block = _block(documents[place])
        if not block:
            continue
        tokens = count_tokens(block)
        if tokens > room:
            left_out.append(place)
            continue
        included.append(block)
        room -= tokens
    return BuiltContext(
        context=BETWEEN.join(included),
        token_count=max_tokens - room,
        token_counter=minilm.MODEL,
        max_tokens=max_tokens,
        documents_processed=len(documents),
        documents_included=len(included),
        documents_truncated=len(left_out),
        left_out=sorted(left_out),
    )


def count_tokens(text: str) -> int:
    """How many tokens all-MiniLM-L6-v2's tokenizer makes of a text; a word unknown to it has one more per 4 characters.

    For it makes a single token of whatever has over 100 characters without a blank, which no reader does.
    """
    tokenizer = minilm.tokenizer()
    encoding = tokenizer.encode(text, add_special_tokens=False)
    ids, unknown = encoding.ids, tokenizer.token_to_id("[UNK]")
    if unknown not in ids:
        return len(ids)
    spans = zip(ids, encoding.offsets, strict=True)
    return len(ids) + sum((end - start) // 4 for token, (start, end) in spans if token == unknown)


def _score(document: dict[str, Any]) -> float:
    score: float = document.get("score") or 0  # compared as it is: a large integer is no float
    return score


def _block(document: dict[str, Any]) -> str:
    """A document under its title, or its file's name; empty where it says nothing."""
    content = str(document["content"]).strip()
    title = str(document.get("title") or document.get("file_name") or "").strip()
    return f"# {title}\n{content}" if content and title else content
