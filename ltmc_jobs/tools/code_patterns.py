"""Keep attempts at code with how they went, and find those that fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, Field

from ltmc_jobs.registry import Cache, Queue, Tier, tool
from ltmc_jobs.results.code_patterns import CodePatterns, LoggedAttempt, PatternAnalysis

if TYPE_CHECKING:
    from ltmc_jobs.services import Services


def _verdict(value: str) -> str:
    return "fail" if value == "error" else value


def _listed(value: str | list[str] | None) -> list[str]:
    parts = value.split(",") if isinstance(value, str) else value or []
    return list(dict.fromkeys(part.strip() for part in parts if part.strip()))


Result = Annotated[
    Literal["pass", "fail", "partial", "error"],
    AfterValidator(_verdict),
    Field(description="How it went; error is another word for fail"),
]
Name = Annotated[str | None, Field(min_length=1, max_length=1024)]
Tag = Annotated[str, Field(min_length=1, max_length=128)]
Tags = Annotated[
    list[Tag] | Annotated[str, Field(max_length=4096)] | None,
    AfterValidator(_listed),
    Field(description="A list, or words between commas"),
]


@tool(queue=Queue.DEFAULT, tiers=(Tier.SQLITE, Tier.FAISS), changes=("code_patterns", "memory"))
def log_code_attempt(
    services: Services,
    input_prompt: Annotated[str, Field(min_length=1, max_length=100_000, description="What the code was to do")],
    generated_code: Annotated[str, Field(min_length=1, max_length=1_000_000, description="The code")],
    result: Result,
    function_name: Name = None,
    file_name: Name = None,
    module_name: Name = None,
    execution_time_ms: Annotated[int | None, Field(ge=0, le=2**53, description="How long it ran")] = None,
    error_message: Annotated[str | None, Field(max_length=100_000, description="How it failed")] = None,
    tags: Tags = None,
) -> LoggedAttempt:
    """Keep an attempt at code and how it went; it can be found at once, by what it was to do and by what it is."""
    return services.attempts.log(
        input_prompt=input_prompt,
        generated_code=generated_code,
        result=result,
        function_name=function_name,
        file_name=file_name,
        module_name=module_name,
        execution_time_ms=execution_time_ms,
        error_message=error_message,
        tags=_listed(tags),
    )


@tool(
    queue=Queue.DEFAULT,
    tiers=(Tier.SQLITE, Tier.FAISS),
    cache=Cache(topics=("code_patterns", "weights")),
    aliases={"limit": "top_k"},
)
def get_code_patterns(
    services: Services,
    query: Annotated[str, Field(min_length=1, max_length=8192, description="What the code is to do, or code like it")],
    result_filter: Annotated[Result | None, Field(description="Only attempts that went so")] = None,
    function_name: Name = None,
    file_name: Name = None,
    module_name: Name = None,
    top_k: Annotated[int, Field(ge=1, le=20, description="How many attempts at most")] = 5,
) -> CodePatterns:
    """Find the attempts at code that are nearest to a query, best first, with how they went."""
    return services.attempts.find(
        query,
        top_k,
        result=result_filter,
        function_name=function_name,
        file_name=file_name,
        module_name=module_name,
    )


@tool(
    queue=Queue.DEFAULT,
    tiers=(Tier.SQLITE, Tier.FAISS),
    also_named=("analyze_code_patterns_tool",),
)
def analyze_code_patterns(
    services: Services,
    function_name: Name = None,
    file_name: Name = None,
    module_name: Name = None,
    time_range_days: Annotated[int, Field(ge=1, le=365, description="The last so many days, to this moment")] = 30,
    query: Annotated[
        str | None, Field(min_length=1, max_length=8192, description="Only the attempts nearest to this")
    ] = None,
    limit: Annotated[int, Field(ge=1, le=250, description="With a query: how many attempts at most")] = 100,
) -> PatternAnalysis:
    """Tell how attempts at code went: verdicts, times, rates by tag, the commonest failures."""
    return services.attempts.analyse(
        time_range_days,
        query,
        limit,
        function_name=function_name,
        file_name=file_name,
        module_name=module_name,
    )
