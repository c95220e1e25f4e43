"""The answers that a job was given, as they lie in Redis beside it: each signed for this job and this question."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from redis import Redis

from ltmc_jobs.errors import EnvelopeRefused
from ltmc_jobs.queues.envelope import Keyring
from ltmc_jobs.queues.inspect import job_key

FIELD = "ltmc_answer:"  # of the job's hash, with the question's key


def sealed_answer(job_id: str, key: str, given: Any, keys: Keyring) -> str:
    """An answer as it is kept."""
    text = json.dumps(given)
    return f"{keys.sign(_message(job_id, key, text))} {text}"


def read_answers(connection: Redis, job_id: str, asked: Sequence[str], keys: Keyring) -> dict[str, Any]:
    """Those of the asked that were answered; EnvelopeRefused for one that this installation did not sign."""
    found: Any = connection.hmget(job_key(job_id), [FIELD + key for key in asked])
    answers = {}
    for key, kept in zip(asked, found, strict=True):
        if kept is None:
            continue
        signature, _, text = kept.decode(errors="replace").partition(" ")
        if not keys.verifies(_message(job_id, key, text), signature):
            raise EnvelopeRefused(f"the answer to {key} is not signed by this installation")
        answers[key] = json.loads(text)
    return answers


def _message(job_id: str, key: str, text: str) -> bytes:
    return f"{job_id}\n{key}\n{text}".encode()
