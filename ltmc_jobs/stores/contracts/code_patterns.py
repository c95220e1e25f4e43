"""CodePatternTable: attempts at code, each with its verdict."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from ltmc_jobs.results.code_patterns import CodePattern, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """An attempt to be kept."""

    input_prompt: str
    generated_code: str
    result: Verdict
    function_name: str | None = None
    file_name: str | None = None
    module_name: str | None = None
    execution_time_ms: int | None = None
    error_message: str | None = None
    tags: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which attempts: those that have all that is given."""

    result: Verdict | None = None
    function_name: str | None = None
    file_name: str | None = None
    module_name: str | None = None
    since: str | None = None  # included
    until: str | None = None  # excluded

    @property
    def is_open(self) -> bool:
        """Whether it lets every attempt through."""
        return self == Filter()


class CodePatternTable(Protocol):
    """Attempts at code, each of a project."""

    def add(self, attempt: Attempt, *, project: str, job_id: str) -> CodePattern:
        """Keep an attempt. A job id that the project had before gives the attempt kept then, and keeps nothing."""

    def found_by(self, pattern_id: int, resource_id: int, vector_id: int) -> None:
        """Note the document, and its first chunk, that an attempt is found by."""

    def of_documents(self, resource_ids: Iterable[int], *, project: str) -> dict[int, CodePattern]:
        """The attempts that are found by these documents."""

    def chunks(self, wanted: Filter, *, project: str) -> list[int]:
        """The chunks that attempts are found by, of those that the filter lets through."""

    def matching(self, wanted: Filter, *, project: str) -> list[CodePattern]:
        """The attempts that the filter lets through, oldest first, without prompt and code."""

    def close(self) -> None: ...
