"""A client's transcript as a dialogue: who said what, without what tools put between."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

LONGEST = 1_000_000  # characters of a dialogue; of a longer one the end, which the next session needs
SPEAKERS = ("user", "assistant", "human")


def dialogue(file: Path) -> str:
    """`**user:** …` and `**assistant:** …` in turn; empty for what holds no turns. OSError for what cannot be read."""
    turns = [
        f"**{'user' if who == 'human' else who}:** {text}" for who, text in _turns(file.read_text(errors="replace"))
    ]
    whole = "\n\n".join(turns)
    if len(whole) <= LONGEST:
        return whole
    kept = whole[-LONGEST:]
    return kept[kept.find("\n\n**") + 2 :] if "\n\n**" in kept else kept


def _turns(text: str) -> Iterator[tuple[str, str]]:
    """Of JSON lines (Claude Code, Cursor) or of one JSON document (VS Code), whatever else is in it."""
    whole: Any = None
    with suppress(ValueError):
        whole = json.loads(text)
    if whole is not None and not _is_line(whole):
        yield from _within(whole)
        return
    for line in text.splitlines():
        with suppress(ValueError):
            yield from _within(json.loads(line))


def _is_line(value: Any) -> bool:
    return isinstance(value, dict) and bool({"role", "message", "type"} & value.keys())


def _within(value: Any) -> Iterator[tuple[str, str]]:
    """The turns in a record: itself one, or a list or an object of records."""
    if isinstance(value, list):
        for inner in value:
            yield from _within(inner)
    elif isinstance(value, dict) and not value.get("isMeta"):
        turn = _turn(value)
        if turn is not None:
            yield turn
            return
        for name in ("messages", "requests", "turns", "conversation", "data"):
            if isinstance(value.get(name), list | dict):
                yield from _within(value[name])


def _turn(record: dict[str, Any]) -> tuple[str, str] | None:
    inner = record["message"] if isinstance(record.get("message"), dict) else record
    kind = str(record.get("type", "")).partition(".")[0]
    who = inner.get("role") or (kind if kind in SPEAKERS else None)
    content = inner.get("content", inner.get("text"))
    if content is None and isinstance(inner.get("data"), dict):
        content = inner["data"].get("content")
    # Half of a surrogate pair, where a client cut a text, is valid JSON and no text: it costs itself, not the session.
    text = _text(content).strip().encode(errors="replace").decode()
    return (str(who), text) if who in SPEAKERS and text else None


def _text(content: Any) -> str:
    """What was said: of parts, those that are text."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = (part.get("text") for part in content if isinstance(part, dict) and part.get("type") in ("text", None))
        return "\n".join(part for part in parts if isinstance(part, str))
    return ""
