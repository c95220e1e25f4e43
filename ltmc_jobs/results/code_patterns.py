"""What the code pattern tools answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["pass", "fail", "partial"]


@dataclass(frozen=True, slots=True)
class CodePattern:
    """An attempt at code and how it went; times are ISO 8601 in UTC, `execution_time_ms` is milliseconds."""

    id: int
    function_name: str | None
    file_name: str | None
    module_name: str | None
    input_prompt: str
    generated_code: str
    result: Verdict
    execution_time_ms: int | None
    error_message: str | None
    tags: list[str]
    created_at: str
    vector_id: int | None


@dataclass(frozen=True, slots=True)
class LoggedAttempt:
    """The attempt as it was kept."""

    message: str
    pattern_id: int
    vector_id: int


@dataclass(frozen=True, slots=True)
class FoundPattern(CodePattern):
    """An attempt with how near it is to the query, 0 to 1."""

    similarity_score: float = 0.0


@dataclass(frozen=True, slots=True)
class CodePatterns:
    """Attempts by their nearness to the query, best first."""

    query: str
    patterns: list[FoundPattern]
    count: int


@dataclass(frozen=True, slots=True)
class TagRate:
    """How attempts with a tag went."""

    tag: str
    total: int
    pass_count: int
    success_rate: float


@dataclass(frozen=True, slots=True)
class Failure:
    """An error message that attempts failed with."""

    error_message: str
    count: int


@dataclass(frozen=True, slots=True)
class PatternAnalysis:
    """How the attempts of a time went. Rates are 0 to 1; times are milliseconds, None where none was given."""

    since: str
    until: str
    total_patterns: int
    pass_count: int
    fail_count: int
    partial_count: int
    success_rate: float
    avg_execution_time: float | None
    min_execution_time: int | None
    max_execution_time: int | None
    p95_execution_time: int | None
    timed_patterns: int
    tags: list[TagRate]
    failures: list[Failure]
