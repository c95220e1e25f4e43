"""Look into the queues: status, result, counts, workers. Nothing is unpickled, nothing is changed."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from redis import Redis

from ltmc_jobs import keys
from ltmc_jobs.errors import JobFailed, LtmcError, NotFound, from_dict
from ltmc_jobs.queues.contract import JobInfo, JobStatus
from ltmc_jobs.registry import Queue

MOMENTS = ("created_at", "enqueued_at", "started_at", "ended_at", "ltmc_progress_at", "ltmc_asked_at")
REGISTRIES = {
    JobStatus.STARTED: "wip",
    JobStatus.FINISHED: "finished",
    JobStatus.FAILED: "failed",
    JobStatus.DEFERRED: "deferred",
    JobStatus.SCHEDULED: "scheduled",
    JobStatus.CANCELED: "canceled",
}


def registry_of(state: JobStatus) -> str | None:
    """The registry that jobs of this state are in; RQ keeps the stopped ones with the failed."""
    return REGISTRIES.get(JobStatus.FAILED if state == JobStatus.STOPPED else state)


def job_key(job_id: str) -> str:
    """RQ's hash of a job."""
    return f"rq:job:{job_id}"


def results_key(job_id: str) -> str:
    """RQ's stream of a job's results."""
    return f"rq:results:{job_id}"


def job_info(
    job_id: str, fields: dict[bytes, bytes], newest: dict[bytes, bytes] | None, lines: Sequence[bytes] = ()
) -> JobInfo:
    """What RQ's hash, the newest entry of its result stream and the job's log say."""
    text = {text_of(name): value for name, value in fields.items()}
    kept = json_of(text.get("meta"))
    meta = kept if isinstance(kept, dict) else {}
    status = state_named(text.get("status", b"queued"))
    asked = _asked(text, status)
    return JobInfo(
        id=job_id,
        name=str(meta.get("name", "")) or _function_name(text.get("data", b"")),
        status=status,
        queue=text.get("origin", b"").decode(),
        project=str(meta.get("project", "")),
        created_at=time_of(text.get("created_at")),
        enqueued_at=time_of(text.get("enqueued_at")),
        started_at=time_of(text.get("started_at")),
        ended_at=time_of(text.get("ended_at")),
        result=return_value(newest) if status == JobStatus.FINISHED else None,
        error=_error(text, meta) if status == JobStatus.FAILED else None,
        attempts=_number(text.get("ltmc_attempts", b"0")),
        meta=_told(job_id, text, meta) | ({"log": [text_of(line) for line in lines]} if lines else {}),
        updated_at=max(filter(None, (time_of(text.get(name)) for name in MOMENTS)), default=None),
        timeout_seconds=_number(text.get("timeout", b"0")),
        kept_seconds=_kept(text, status),
        questions=asked.get("questions"),
        asks_first=bool(asked.get("first")),
    )


def _asked(text: dict[str, bytes], status: JobStatus) -> dict[str, Any]:
    found = json_of(text.get("ltmc_questions")) if status == JobStatus.DEFERRED else None
    return found if isinstance(found, dict) and isinstance(found.get("questions"), dict) else {}


def _kept(text: dict[str, bytes], status: JobStatus) -> int | None:
    failed = status in (JobStatus.FAILED, JobStatus.STOPPED, JobStatus.CANCELED)
    kept = text.get("failure_ttl" if failed else "result_ttl", b"")
    return int(kept) if kept.isdigit() else None


def _told(job_id: str, text: dict[str, bytes], meta: dict[str, Any]) -> dict[str, Any]:
    """What is known besides: the trace, and what a running job told of itself."""
    progress = json_of(text.get("ltmc_progress"))
    shown = {name: value for name, value in meta.items() if name not in ("name", "project", "error")}
    return {"trace_id": job_id} | shown | ({"progress": progress} if progress else {})


def return_value(entry: dict[bytes, bytes] | None) -> Any:
    """The JSON result in an entry of a result stream."""
    return decoded_result((entry or {}).get(b"return_value"))


def decoded_result(encoded: bytes | str | None) -> Any:
    """A result as RQ's streams keep it: base64 of JSON; None for anything else."""
    try:
        return json_of(base64.b64decode(encoded)) if encoded else None
    except ValueError:
        return None


def error_of(info: JobInfo) -> LtmcError | None:
    """A failed job's typed error, if it left one."""
    return from_dict(info.error) if info.error else None


def ask_state(pipeline: Any, job_id: str) -> None:
    """Queue the reads of a job's state on a pipeline; in one transaction, since they are written in one."""
    pipeline.hgetall(job_key(job_id))
    pipeline.xrevrange(results_key(job_id), count=1)
    pipeline.lrange(keys.key(keys.INSTALLATION, "log", job_id), 0, -1)


def read_state(job_id: str, answers: list[Any]) -> tuple[JobInfo, bytes]:
    """The job, and the id of its newest stream entry, from the answers to `ask_state`; NotFound for no job."""
    fields, results, lines = answers
    if not fields:
        raise NotFound(f"there is no job {job_id}, or it has expired", job_id=job_id)
    last, entry = results[0] if results else (b"0-0", None)
    return job_info(job_id, fields, entry, lines), last


def status(connection: Redis, job_id: str) -> JobInfo:
    """What is known of a job; NotFound when unknown or expired."""
    pipeline = connection.pipeline()
    ask_state(pipeline, job_id)
    return read_state(job_id, pipeline.execute())[0]


def counts(connection: Redis) -> dict[str, dict[str, int]]:
    """Jobs per queue and status, and the age in seconds of the oldest one waiting (`oldest_age_seconds`)."""
    names = queue_names(connection)
    pipeline = connection.pipeline(transaction=False)
    pipeline.time()
    for name in names:
        pipeline.llen(f"rq:queue:{name}")
        for registry in REGISTRIES.values():
            pipeline.zcard(f"rq:{registry}:{name}")
        pipeline.lindex(f"rq:queue:{name}", 0)
    answers = iter(pipeline.execute())
    now, _ = next(answers)
    counted: dict[str, dict[str, int]] = {}
    for name in names:
        counted[name] = {JobStatus.QUEUED.value: next(answers)}
        counted[name] |= {state.value: next(answers) for state in REGISTRIES}
        counted[name]["oldest_age_seconds"] = _age(connection, next(answers), now)
    return counted


def queue_names(connection: Redis) -> list[str]:
    """The platform's queues, and those that RQ knows besides."""
    known = {text_of(name).removeprefix("rq:queue:") for name in connection.smembers("rq:queues")}
    ours = [queue.value for queue in Queue]
    return ours + sorted(known - set(ours))


def workers(connection: Redis) -> list[dict[str, Any]]:
    """Living workers: name, state, queues, counters."""
    keys = sorted(connection.smembers("rq:workers"))
    pipeline = connection.pipeline(transaction=False)
    for key in keys:
        pipeline.hgetall(key)
    shown = []
    for key, fields in zip(keys, pipeline.execute(), strict=True):
        if fields and b"death" not in fields:
            text = {name.decode(): value.decode(errors="replace") for name, value in fields.items()}
            shown.append(
                {
                    "name": text_of(key).removeprefix("rq:worker:"),
                    "state": text.get("state", ""),
                    "queues": [name for name in text.get("queues", "").split(",") if name],
                    "pid": int(text.get("pid") or 0),
                    "hostname": text.get("hostname", ""),
                    "successful": int(text.get("successful_job_count") or 0),
                    "failed": int(text.get("failed_job_count") or 0),
                    "working_seconds": float(text.get("total_working_time") or 0),
                    "heard_at": time_of(text.get("last_heartbeat")),
                }
            )
    return shown


def infos(connection: Redis, ids: Iterable[str]) -> list[JobInfo]:
    """What is known of those of the jobs that are there, without their results."""
    wanted = list(ids)
    pipeline = connection.pipeline(transaction=False)
    for job_id in wanted:
        pipeline.hgetall(job_key(job_id))
    return [job_info(job_id, fields, None) for job_id, fields in zip(wanted, pipeline.execute(), strict=True) if fields]


def _age(connection: Redis, oldest: bytes | None, now: int) -> int:
    if oldest is None:
        return 0
    since = time_of(connection.hget(job_key(text_of(oldest)), "enqueued_at"))
    return max(0, int(now - datetime.fromisoformat(since).timestamp())) if since else 0


def time_of(value: bytes | str | None) -> str | None:
    """A moment of RQ's as we show it."""
    return text_of(value).replace("Z", "+00:00") if value else None


def text_of(value: Any) -> str:
    """What a reader of a connection without decoding gets, as text."""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def state_named(value: bytes) -> JobStatus:
    """A state; what anybody else wrote there counts as failed."""
    try:
        return JobStatus(text_of(value))
    except ValueError:
        return JobStatus.FAILED


def _number(value: bytes) -> int:
    return int(value) if value.isdigit() else 0


def _error(text: dict[str, bytes], meta: dict[str, Any]) -> dict[str, Any]:
    kept = json_of(text.get("ltmc_error")) or meta.get("error")
    return kept if isinstance(kept, dict) else JobFailed("the job's worker died while it ran").as_dict()


def json_of(value: bytes | None) -> Any:
    """What a field says in JSON; None for anything else."""
    try:
        return json.loads(value) if value else None
    except (ValueError, RecursionError):
        return None  # not ours: a pickle, or damaged; never opened


def _function_name(data: bytes) -> str:
    try:
        named = json_of(zlib.decompress(data))
    except zlib.error:
        named = json_of(data)
    return str(named[0]) if isinstance(named, list) and named else "unknown"
