"""What forgetting, exporting and importing answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ForgottenMemory:
    """What was taken away; `file_names` are the first hundred. All zero: there was nothing of that kind."""

    message: str
    documents: int
    versions: int
    chunks: int
    vectors: int
    patterns: int
    nodes: int
    messages: int
    cached: int
    file_names: list[str]


@dataclass(frozen=True, slots=True)
class ExportedMemory:
    """A page of records; `next_cursor` asks for the next one, None on the last. `totals` are of all pages."""

    records: list[dict[str, Any]]
    count: int
    next_cursor: str | None
    totals: dict[str, int]


@dataclass(frozen=True, slots=True)
class RefusedRecord:
    """A record that could not be taken, by its line, and why."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class ImportedMemory:
    """What was taken, by kind; `unchanged` was there before; what was refused stopped nothing else."""

    message: str
    documents: int
    messages: int
    todos: int
    patterns: int
    links: int
    unchanged: int
    refused: list[RefusedRecord]
