"""Attempts at code: kept once, found by what they were to do and by what they are, and counted."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from statistics import mean

import pytest

from ltmc_jobs.errors import InvalidArguments
from ltmc_jobs.services import Services
from tests.tools.calling import Caller, services_without_redis
from tests.tools.labelled_attempts import PAIRS


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    with services_without_redis(tmp_path_factory.mktemp("patterns")) as opened:
        yield opened


@pytest.fixture
def call(services: Services) -> Caller:
    """In a project of the test's own."""
    return Caller(services, f"p-{uuid.uuid4().hex}")


def test_an_attempt_is_kept_once_and_found_at_once(call: Caller) -> None:
    """A23: pass, fail, partial, error as fail; tags as a list or as text; the vector is searchable at once."""
    attempt = {
        "input_prompt": "reverse a linked list",
        "generated_code": "def reverse(head): ...",
        "result": "error",
        "tags": "lists, pointers,lists",
        "execution_time_ms": 12,
        "error_message": "TypeError",
    }
    logged = call("log_code_attempt", **attempt, job_id="j")
    assert call("log_code_attempt", **attempt, job_id="j") == logged
    (found,) = call("get_code_patterns", query="turn a chain of nodes around")["patterns"]
    assert (found["id"], found["vector_id"]) == (logged["pattern_id"], logged["vector_id"])
    assert (found["result"], found["tags"], found["error_message"]) == ("fail", ["lists", "pointers"], "TypeError")
    assert 0 < found["similarity_score"] <= 1
    call("log_code_attempt", input_prompt="x", generated_code="y", result="pass", tags=["one"])
    assert call("analyze_code_patterns")["total_patterns"] == 2
    with pytest.raises(InvalidArguments) as raised:
        call("log_code_attempt", input_prompt="x", generated_code="y", result="maybe")
    assert raised.value.details == {"field": "result"}


def test_the_right_attempt_is_among_the_first(call: Caller) -> None:
    """A24: over labelled pairs of a question and its attempt, nine of ten are in the first five."""
    assert len(PAIRS) >= 50
    for prompt, _, code in PAIRS:
        call("log_code_attempt", input_prompt=prompt, generated_code=code, result="pass")
    found_first, found = [], []
    for prompt, question, _ in PAIRS:
        patterns = call("get_code_patterns", query=question, top_k=5)["patterns"]
        scores = [pattern["similarity_score"] for pattern in patterns]
        assert scores == sorted(scores, reverse=True)
        prompts = [pattern["input_prompt"] for pattern in patterns]
        found.append(prompt in prompts)
        found_first.append(prompt == prompts[0])
    assert mean(found) >= 0.9
    assert mean(found_first) >= 0.7


def test_a_filter_is_applied_before_the_best_are_taken(call: Caller) -> None:
    """A24: the one that fits the filter is found behind any number of nearer ones."""
    for n in range(30):
        call("log_code_attempt", input_prompt="parse a date", generated_code=f"parse({n})", result="pass")
    wanted = call("log_code_attempt", input_prompt="bake bread", generated_code="b()", result="fail", file_name="b.py")
    for limits in ({"result_filter": "fail"}, {"result_filter": "error"}, {"file_name": "b.py"}):
        found = call("get_code_patterns", query="parse a date", top_k=3, **limits)
        assert [pattern["id"] for pattern in found["patterns"]] == [wanted["pattern_id"]]
    assert call("get_code_patterns", query="parse a date", function_name="none")["patterns"] == []


def test_numbers_equal_a_recount(call: Caller) -> None:
    """A25: verdicts, times, tags, failures; only of what the limits let through."""
    kept = [
        ("pass", 10, ["a"], None),
        ("pass", 20, ["a", "b"], None),
        ("fail", 40, ["b"], "boom"),
        ("partial", None, [], ""),
    ]
    for n, (result, took, tags, error) in enumerate(kept):
        more = {} if took is None else {"execution_time_ms": took}
        call("log_code_attempt", input_prompt=f"p {n}", generated_code="c", result=result, tags=tags,
             error_message=error, function_name="even" if n % 2 == 0 else "odd", **more)  # fmt: skip
    told = call("analyze_code_patterns", time_range_days=1)
    counts = [told[f"{name}_count"] for name in ("pass", "fail", "partial")]
    assert (told["total_patterns"], counts, told["success_rate"]) == (4, [2, 1, 1], 0.5)
    times = [told[f"{name}_execution_time"] for name in ("avg", "min", "max", "p95")]
    assert (times, told["timed_patterns"]) == ([pytest.approx(70 / 3, abs=0.001), 10, 40, 40], 3)
    assert told["tags"] == [
        {"tag": "a", "total": 2, "pass_count": 2, "success_rate": 1.0},
        {"tag": "b", "total": 2, "pass_count": 1, "success_rate": 0.5},
    ]
    assert told["failures"] == [{"error_message": "boom", "count": 1}]
    assert call("analyze_code_patterns", function_name="odd")["total_patterns"] == 2
    assert call("analyze_code_patterns", query="p 2", limit=1)["total_patterns"] == 1
    assert call("analyze_code_patterns", function_name="nobody")["avg_execution_time"] is None


def test_the_window_ends_now_and_begins_days_ago(services: Services, call: Caller) -> None:
    """A25: edges in UTC: what is older by a second is out."""
    call("log_code_attempt", input_prompt="p", generated_code="c", result="pass")
    table = services.tiers.code_patterns
    moved = "UPDATE code_patterns SET created_at = strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now', ?)"
    for seconds, inside in ((86_400 - 60, 1), (86_400 + 1, 0)):
        with table._file.writing() as database:  # type: ignore[attr-defined]
            database.execute(moved, [f"-{seconds} seconds"])
        assert call("analyze_code_patterns", time_range_days=1)["total_patterns"] == inside
