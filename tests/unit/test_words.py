"""What is said to people: logs without secrets and with their words, why it is degraded, what to try."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from ltmc_jobs import logs
from ltmc_jobs.errors import EnvelopeRefused, InvalidArguments, LtmcError, StoreUnavailable
from tests.conftest import MakeSettings
from workers import health
from workers.record import Process, Record
from workers.supervisor import advice


@pytest.mark.parametrize(
    "text",
    [
        "token=s3cr3t-words",
        "LTMC_TOKEN=s3cr3t-words",
        "token: s3cr3t-words",
        "Authorization: Bearer s3cr3t-words",
        "authorization: s3cr3t-words",
        "sent with Bearer s3cr3t-words-of-some-length",
        '{"password": "s3cr3t-words", "user": "me"}',
        "NEO4J_PASSWORD='s3cr3t-words'",
        "redis://:s3cr3t-words@there:6379/0",
        "GET /x?api_key=s3cr3t-words&y=1",
    ],
)
def test_a_secret_is_taken_out(text: str) -> None:
    assert "s3cr3t" not in logs.redact(None, "", {"event": text})["event"]


@pytest.mark.parametrize(
    "text",
    [
        "A valid token is needed: send it as `Authorization: Bearer …`.",
        "the token needs 16 characters; set REDIS_PASSWORD (or LTMC_REDIS_INSECURE=1)",
        "a password, a secret and an api key are words",
        "tokens=12 max_tokens: 384",
        "at http://localhost:5050/health",
    ],
)
def test_words_stay(text: str) -> None:
    assert logs.redact(None, "", {"event": text})["event"] == text


def test_a_field_named_as_a_secret_is_one() -> None:
    shown = logs.redact(None, "", {"event": "x", "api_token": "s3cr3t", "tokens": "12"})
    assert shown == {"event": "x", "api_token": "***", "tokens": "12"}


@pytest.mark.parametrize(
    ("error", "lines"),
    [(InvalidArguments("name: is missing"), 1), (EnvelopeRefused("not ours"), 1), (StoreUnavailable("away"), 3)],
)
def test_a_callers_mistake_is_one_line_of_the_log(
    error: LtmcError, lines: int, caplog: pytest.LogCaptureFixture
) -> None:
    """A fault of ours keeps its traceback."""
    logger = logging.getLogger("rq.worker")
    logger.addFilter(logs.shorten)
    try:
        raise error
    except LtmcError:
        logger.error("job %s: exception raised\n%s", "7", "Traceback\nof ours")
    finally:
        logger.removeFilter(logs.shorten)
    said = caplog.records[-1].getMessage()
    assert len(said.splitlines()) == lines
    assert lines > 1 or str(error) in said


def test_why_it_is_degraded() -> None:
    said: dict[str, Any] = {
        "components": {"redis": {"status": "healthy"}, "graph": {"status": "unhealthy", "error": "no answer"}},
        "queues_without_worker": ["llm"],
    }
    assert health.reasons(said) == ["graph: unhealthy (no answer)", "no worker for llm"]
    assert health.reasons({}) == []


def test_beyond_loopback_what_to_try_has_the_token_by_its_place(make_settings: MakeSettings) -> None:
    record = Record(Process(1, 0.0), "http://localhost:5050", "")
    near, far = make_settings(), make_settings(HTTP_HOST="0.0.0.0")
    assert "Authorization" not in advice(near, record)
    assert f'-H "Authorization: Bearer $(cat {far.home}/token)"' in advice(far, record)
    given = advice(make_settings(LTMC_REQUIRE_TOKEN="1", LTMC_TOKEN="s3cr3t-token-of-length"), record)
    assert "s3cr3t" not in given
    assert "Bearer $LTMC_TOKEN" in given
