"""A job as the task of both generations of the protocol: its status is always the job's."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import mcp_types as types

from api.mcp.answers import answered, failed
from api.requests import told
from ltmc_jobs.answer import answer_of
from ltmc_jobs.errors import EnvelopeRefused, JobLost, LtmcError, from_dict
from ltmc_jobs.queues.contract import JobInfo, JobStatus, Outcome

WAITING_MS = 86_400_000  # how long a job may stand in its queue before its task counts as expired
POLLS = ((5.0, 500), (30.0, 2000), (300.0, 5000))  # up to this age in seconds, ask again after so many milliseconds
LAST_POLL_MS = 15_000
OURS_TO_BLAME = (JobLost, EnvelopeRefused)  # failures of the platform, which no change of the call would mend


def task_of(info: JobInfo, now: datetime | None = None) -> dict[str, Any]:
    """`{taskId, status, statusMessage, createdAt, lastUpdatedAt, ttlMs, pollIntervalMs}`."""
    created = info.created_at or ""
    return {
        "taskId": info.id,
        "status": status_of(info),
        "statusMessage": words_of(info),
        "createdAt": created,
        "lastUpdatedAt": info.updated_at or created,
        "ttlMs": _ttl_ms(info),
        "pollIntervalMs": _poll_ms(info, now or datetime.now(UTC)),
    }


def told_task(info: JobInfo) -> dict[str, Any]:
    """The task with its result, its error, or what it asks, as tasks/get and notifications/tasks have it."""
    shown = task_of(info)
    if shown["status"] == "completed":
        shown["result"] = result_of(info).model_dump(by_alias=True, mode="json", exclude_none=True)
    elif shown["status"] == "failed":
        shown["error"] = error_of(info)
    elif shown["status"] == "input_required":
        shown["inputRequests"] = info.questions
    return shown


def status_of(info: JobInfo) -> str:
    """The protocol's word. A tool that ran and failed has completed, with an error as its result."""
    if info.questions:
        return "input_required"
    if info.status == JobStatus.FINISHED:
        return "completed" if info.result is not None else "failed"
    if info.status in (JobStatus.STOPPED, JobStatus.CANCELED):
        return "cancelled"
    if info.status == JobStatus.FAILED:
        return "failed" if isinstance(_error(info), OURS_TO_BLAME) else "completed"
    return "working"


def words_of(info: JobInfo) -> str:
    """Where the job stands, for people."""
    if info.questions:
        return f"it asks for {', '.join(info.questions)}"
    progress = info.meta.get("progress") if not info.status.is_final else None
    if isinstance(progress, dict):
        total = progress.get("total")
        far = f"{progress.get('done')} of {total}" if total is not None else f"{progress.get('done')}"
        return f"{far} {progress.get('message') or ''}".strip()
    if info.status == JobStatus.SCHEDULED and info.attempts:
        return f"attempt {info.attempts} failed; it is tried again"
    return info.status.value


def result_of(info: JobInfo) -> types.CallToolResult:
    """What tools/call would have given for a job that has completed, or was cancelled."""
    try:
        return answered(answer_of(info.name, Outcome.of(info, _error(info))))
    except LtmcError as error:
        return failed(told(error, info.meta.get("trace_id") or info.id))


def error_of(info: JobInfo) -> dict[str, Any]:
    """The protocol's error for a job that the platform lost."""
    error = _error(info) or JobLost("its result is gone")
    data = {"job_id": info.id, "reason": error.code, "attempts": info.attempts}
    return {"code": types.INTERNAL_ERROR, "message": str(error), "data": data}


def _error(info: JobInfo) -> LtmcError | None:
    return from_dict(info.error) if info.error else None


def _ttl_ms(info: JobInfo) -> int | None:
    """From its creation until it is forgotten; null where it is kept for ever."""
    if info.kept_seconds is None:
        return None
    if info.status.is_final and info.ended_at and info.created_at:
        lasted = datetime.fromisoformat(info.ended_at) - datetime.fromisoformat(info.created_at)
        return int(lasted.total_seconds() * 1000) + info.kept_seconds * 1000
    return WAITING_MS + (info.timeout_seconds + info.kept_seconds) * 1000


def _poll_ms(info: JobInfo, now: datetime) -> int:
    """The longer it takes, the less often it is to be asked for."""
    if not info.created_at:
        return POLLS[0][1]
    age = (now - datetime.fromisoformat(info.created_at)).total_seconds()
    return next((pause for until, pause in POLLS if age < until), LAST_POLL_MS)
