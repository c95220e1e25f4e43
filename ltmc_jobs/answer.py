"""Answer: what a call gives its caller, a result or the handle of a job that goes on; Goal: what it waits for."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from ltmc_jobs.queues.contract import INPUT_REQUIRED, Outcome

LOCALLY = "locally"
RUNS_STILL = "it still runs; the wait is over"
ASKS = "it asks for something; it goes on when it is answered"
NEXT = "Call job_result with this job_id (it waits up to 45 s); job_cancel stops the job. Do not call the tool again."
NEXT_ANSWER = (
    "It waits for answers to `questions`: call job_answer with this job_id and "
    "{key: {action: accept | decline | cancel, content}}, then job_result."
)
POLL_AFTER_MS = 2000


@dataclass(frozen=True, slots=True)
class Answer:
    """A call's answer: its result, or the handle of a job that goes on, with the reason."""

    tool: str
    job_id: str | None
    status: str
    result: dict[str, Any] | None = None
    reason: str | None = None
    cached: bool = False
    served: str | None = None  # "locally": not through the queue, for this reason
    questions: dict[str, Any] | None = None  # what the job asks and waits for
    asks_first: bool = False  # before it has begun with anything

    @property
    def is_handle(self) -> bool:
        return self.result is None

    def as_dict(self) -> dict[str, Any]:
        """What goes out, in every protocol alike."""
        if self.result is not None:
            job = {"job_id": self.job_id} if self.job_id else {}
            served = {"served": self.served, "reason": self.reason} if self.served else {}
            return {"success": True, **job, **({"cached": True} if self.cached else {}), **served, **self.result}
        handle: dict[str, Any] = {"job_id": self.job_id, "status": self.status, "tool": self.tool}
        if self.questions:
            handle |= {"questions": self.questions, "next": NEXT_ANSWER}
        else:
            handle |= {"poll_after_ms": POLL_AFTER_MS, "next": NEXT}
        return {
            "success": True,
            "job_id": self.job_id,
            **({"served": self.served} if self.served else {}),
            "job": handle | ({"reason": self.reason} if self.reason else {}),
        }


@dataclass(frozen=True, slots=True)
class Goal:
    """The state that a call waits for, until this moment of the monotonic clock."""

    state: str
    until: float
    is_asked: bool  # False: the tool's own goal, so that it is no failure to miss it

    @property
    def seconds_left(self) -> float:
        return max(0.0, self.until - time.monotonic())

    def missed(self, why: Any) -> dict[str, Any]:
        """What to tell beside the result."""
        return {"warning": f"recorded, but not yet {self.state}: {why}"} if self.is_asked else {}


def answer_of(tool: str, outcome: Outcome, locally: str | None = None) -> Answer:
    """What a call's outcome is to its caller; `locally` is the reason why it was served so. Raises the job's error."""
    served = LOCALLY if locally else None
    if outcome.questions:
        return Answer(
            tool,
            outcome.job_id,
            INPUT_REQUIRED,
            reason=ASKS,
            questions=outcome.questions,
            asks_first=outcome.asks_first,
        )
    if not outcome.is_final:
        return Answer(tool, outcome.job_id, outcome.status.value, reason=locally or RUNS_STILL, served=served)
    result = outcome.unwrap()
    # A job kind may give any JSON; the answer to a call is an object.
    shown = result if isinstance(result, dict) else {"result": result}
    return Answer(tool, outcome.job_id, outcome.status.value, shown, reason=locally, served=served)
