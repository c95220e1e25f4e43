"""Attempts: code that was tried, kept with its verdict, found again by what it was to do and by what it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from ltmc_jobs.memory.chunking import split
from ltmc_jobs.memory.memory import Memory
from ltmc_jobs.memory.naming import CODE_PATTERN
from ltmc_jobs.queues.envelope import Call
from ltmc_jobs.results.code_patterns import (
    CodePattern,
    CodePatterns,
    Failure,
    FoundPattern,
    LoggedAttempt,
    PatternAnalysis,
    TagRate,
)
from ltmc_jobs.stores.contracts import Attempt, CodePatternTable, Filter

CHUNKS_EACH = 4  # of one attempt, that may stand before the next one
FAILURES_SHOWN = 10


class Tiers(Protocol):
    """What attempts stand on, beside the memory."""

    @property
    def code_patterns(self) -> CodePatternTable: ...


class Attempts:
    """The attempts of one call's project."""

    def __init__(self, tiers: Tiers, memory: Memory, call: Call) -> None:
        self._table = tiers.code_patterns
        self._memory = memory
        self._call = call

    def log(self, **fields: Any) -> LoggedAttempt:
        """Keep an attempt (the fields of Attempt); its prompt and its code can be found when this returns."""
        attempt = Attempt(**fields)
        kept = self._table.add(attempt, project=self._call.project, job_id=self._call.id)
        vector_id = self.make_findable(kept.id, attempt.input_prompt, attempt.generated_code)
        return LoggedAttempt(f"attempt {kept.id} logged: {attempt.result}", kept.id, vector_id)

    def make_findable(self, pattern_id: int, prompt: str, generated_code: str) -> int:
        """Store the document that an attempt is found by; the id of its first chunk."""
        code = [chunk.content for chunk in split(generated_code, kind="code")]
        # The prompt is a chunk of its own, with a line between, so that neither waters down the other.
        texts = [*(chunk.content for chunk in split(f"{prompt}\n\n")), *code]
        name = f"{CODE_PATTERN}/{pattern_id}"
        resource_id, chunk_ids = self._memory.add_document(texts, file_name=name, resource_type=CODE_PATTERN)
        self._table.found_by(pattern_id, resource_id, chunk_ids[0])
        return chunk_ids[0]

    def find(self, query: str, top_k: int, **limits: Any) -> CodePatterns:
        """The attempts nearest to a query, of those that the limits (the fields of Filter) let through."""
        wanted = Filter(**limits)
        only = None if wanted.is_open else self._table.chunks(wanted, project=self._call.project)
        found = self._memory.retrieve(
            query,
            scope=self._memory.scope(resource_types=(CODE_PATTERN,)),
            top_k=top_k * CHUNKS_EACH,
            only=only,
        ).retrieved_chunks
        scores: dict[int, float] = {}
        for chunk in found:
            scores.setdefault(chunk.resource_id, chunk.score)
        known = self._table.of_documents(scores, project=self._call.project)
        patterns = [
            FoundPattern(**asdict(known[resource_id]), similarity_score=score)
            for resource_id, score in scores.items()
            if resource_id in known
        ][:top_k]
        return CodePatterns(query, patterns, len(patterns))

    def analyse(self, days: int, query: str | None, limit: int, **limits: Any) -> PatternAnalysis:
        """Numbers about the attempts of the last days; with a query, of those nearest to it."""
        until = datetime.now(UTC)
        since = (until - timedelta(days=days)).isoformat(timespec="microseconds")
        patterns = self._table.matching(Filter(**limits, since=since), project=self._call.project)
        if query is not None:
            near = {pattern.id for pattern in self.find(query, limit, **limits, since=since).patterns}
            patterns = [pattern for pattern in patterns if pattern.id in near]
        return _analysis(patterns, since, until.isoformat(timespec="microseconds"))


def _analysis(patterns: Sequence[CodePattern], since: str, until: str) -> PatternAnalysis:
    verdicts = Counter(pattern.result for pattern in patterns)
    times = sorted(pattern.execution_time_ms for pattern in patterns if pattern.execution_time_ms is not None)
    messages = Counter(pattern.error_message for pattern in patterns if pattern.error_message)
    return PatternAnalysis(
        since=since,
        until=until,
        total_patterns=len(patterns),
        pass_count=verdicts["pass"],
        fail_count=verdicts["fail"],
        partial_count=verdicts["partial"],
        success_rate=_rate(verdicts["pass"], len(patterns)),
        avg_execution_time=round(sum(times) / len(times), 3) if times else None,
        min_execution_time=times[0] if times else None,
        max_execution_time=times[-1] if times else None,
        p95_execution_time=times[-(-95 * len(times) // 100) - 1] if times else None,  # the nearest rank
        timed_patterns=len(times),
        tags=_tags(patterns),
        failures=[Failure(message, count) for message, count in messages.most_common(FAILURES_SHOWN)],
    )


def _tags(patterns: Sequence[CodePattern]) -> list[TagRate]:
    total = Counter(tag for pattern in patterns for tag in set(pattern.tags))
    passed = Counter(tag for pattern in patterns if pattern.result == "pass" for tag in set(pattern.tags))
    return [TagRate(tag, n, passed[tag], _rate(passed[tag], n)) for tag, n in sorted(total.items())]


def _rate(part: int, whole: int) -> float:
    return round(part / whole, 4) if whole else 0.0
