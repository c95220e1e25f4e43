"""Inquiry: what a job asks of its caller, and how it waits for the answer without holding a worker.

A job that lacks an answer ends its leg; it is enqueued again, under the same id, when the last answer has come.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from ltmc_jobs.errors import InvalidArguments

ELICITATION = "elicitation/create"
ACTIONS = ("accept", "decline", "cancel")
KEY_PATTERN = r"^[A-Za-z0-9_.-]{1,64}$"  # of a question: it names a field in Redis


class InputRequired(Exception):
    """Raised by a job that cannot go on without answers.

    `questions`: by a key that the job never uses again, each `{method, params}` as MCP has its requests for input.
    `first`: nothing was begun yet, so that a caller who can may answer within its very call.
    """

    def __init__(self, questions: Mapping[str, Mapping[str, Any]], *, first: bool = False) -> None:
        super().__init__(f"it asks for {', '.join(questions)}")
        self.questions = {key: dict(question) for key, question in questions.items()}
        self.first = first


def response(key: str, question: Mapping[str, Any], answer: Any) -> dict[str, Any]:
    """An answer as MCP has it, where it may be a form's content alone; InvalidArguments if the form refuses it."""
    if question.get("method") != ELICITATION:
        return answer if isinstance(answer, dict) else {"content": answer}
    whole = answer if isinstance(answer, dict) and "action" in answer else {"action": "accept", "content": answer}
    if whole["action"] not in ACTIONS:
        raise InvalidArguments(f"answers.{key}.action: one of {', '.join(ACTIONS)}", field=f"answers.{key}.action")
    if whole["action"] == "accept":
        schema = question.get("params", {}).get("requestedSchema", {})
        error = best_match(Draft202012Validator(schema).iter_errors(whole.get("content", {})))
        if error is not None:
            raise InvalidArguments(f"answers.{key}: {error.message}", field=f"answers.{key}")
    return whole


def form(message: str, **fields: Mapping[str, Any]) -> dict[str, Any]:
    """A question that is a form: `fields` are JSON Schemas by name, each of them required."""
    schema = {"type": "object", "properties": {name: dict(field) for name, field in fields.items()}}
    return {
        "method": ELICITATION,
        "params": {"mode": "form", "message": message, "requestedSchema": schema | {"required": list(fields)}},
    }
