"""Roster: what is in the schedule and what was set aside, as people look at it; and acting on one entry.

Nothing is opened or unpickled to be looked at: an entry that cannot be read is shown with the reason.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from redis import Redis

from ltmc_jobs.errors import InvalidArguments
from ltmc_jobs.queues.envelope import Keyring
from ltmc_jobs.queues.for_rq.scheduler import Scheduler
from ltmc_jobs.queues.inspect import job_info, job_key
from ltmc_jobs.queues.schedules import clockwork
from ltmc_jobs.queues.schedules.schedule import ENTRIES, Schedule, read_schedule

GONE = "its job is gone: it was deleted, or its time to live is over"
NEVER = 9_999_999_999  # the score of an entry that is on its way out: no clock fires it

Row = dict[str, Any]


def entries(connection: Redis, limit: int) -> tuple[list[Row], int]:
    """The entries that are due next, the soonest first, `limit` at most; and how many there are in all."""
    total: Any = connection.zcard(ENTRIES)
    found: Any = connection.zrange(ENTRIES, 0, limit - 1, withscores=True)
    ids = [name.decode(errors="replace") for name, _ in found]
    hashes = _hashes(connection, ids)
    rows, last_runs = [], {}
    for job_id, (_, score) in zip(ids, found, strict=True):
        row, schedule = _row(job_id, score, hashes[job_id])
        rows.append(row)
        if schedule is not None and schedule.last_run:
            last_runs[job_id] = schedule.last_run
    ended = _hashes(connection, list(last_runs.values()))
    for row in rows:
        run_id = last_runs.get(row["id"])
        row["last_run"] = _last_run(run_id, ended[run_id]) if run_id else None
    return rows, total


def set_aside(connection: Redis) -> list[Row]:
    """What was set aside, the newest first: `id`, `due_at`, `reason`, `cure`."""
    found = clockwork.set_aside(connection)
    pipeline = connection.pipeline(transaction=False)
    for entry in found:
        pipeline.zscore(ENTRIES, entry["id"])
        pipeline.exists(job_key(entry["id"]))
    answers = pipeline.execute()
    return [
        {
            "id": entry["id"],
            "due_at": _time(entry["due"]),
            "reason": entry["reason"],
            "cure": _cure(entry["id"], is_entered=score is not None, is_kept=bool(kept)),
        }
        for entry, score, kept in zip(found, answers[::2], answers[1::2], strict=True)
    ]


def put_back(connection: Redis, schedule_id: str) -> None:
    """Give what was set aside another chance; InvalidArguments for what was not."""
    if not clockwork.put_back(connection, schedule_id):
        raise InvalidArguments(
            f"no schedule {schedule_id} was set aside; `ltmc schedules aside` shows what was", field="id"
        )


def pause(connection: Redis, keys: Keyring, schedule_id: str) -> None:
    """Pass over the ticks of what recurs; InvalidArguments for what is unknown, broken, or runs once."""
    _require_recurring(connection, schedule_id)
    Scheduler(connection=connection, keys=keys).pause(schedule_id)


def resume(connection: Redis, keys: Keyring, schedule_id: str) -> None:
    """Let it run again from its next tick on; errors as of `pause`."""
    _require_recurring(connection, schedule_id)
    Scheduler(connection=connection, keys=keys).resume(schedule_id)


def cancel(connection: Redis, keys: Keyring, schedule_id: str) -> None:
    """Take an entry out, also one set aside; what it has begun goes on. InvalidArguments for an unknown one."""
    if _is_aside(connection, schedule_id):
        # The script that ends a schedule wants an entry; at this score no clock fires it meanwhile.
        connection.zadd(ENTRIES, {schedule_id: NEVER}, nx=True)
        clockwork.put_back(connection, schedule_id)
    else:
        _require_entered(connection, schedule_id)
    Scheduler(connection=connection, keys=keys).cancel(schedule_id)


def entry(connection: Redis, schedule_id: str) -> Row:
    """One entry of the schedule; InvalidArguments for an unknown one."""
    score = _require_entered(connection, schedule_id)
    row, schedule = _row(schedule_id, score, _hashes(connection, [schedule_id])[schedule_id])
    run_id = schedule.last_run if schedule else None
    row["last_run"] = _last_run(run_id, _hashes(connection, [run_id])[run_id]) if run_id else None
    return row


def _hashes(connection: Redis, ids: list[str]) -> dict[str, dict[bytes, bytes]]:
    """The hash of each job; empty for none, and where its key holds something else."""
    pipeline = connection.pipeline(transaction=False)
    for job_id in ids:
        pipeline.hgetall(job_key(job_id))
    answers = pipeline.execute(raise_on_error=False)
    return {
        job_id: {} if isinstance(answer, Exception) else answer for job_id, answer in zip(ids, answers, strict=True)
    }


def _row(job_id: str, score: float, fields: dict[bytes, bytes]) -> tuple[Row, Schedule | None]:
    """An entry as it is shown, and its schedule where that can be read."""
    schedule, broken = None, None if fields.get(b"data") else GONE
    try:
        schedule, _ = read_schedule(job_id, fields.get(b"meta", b""))
    except InvalidArguments as error:
        broken = broken or str(error)
    info = job_info(job_id, fields, None)
    row: Row = {
        "id": job_id,
        "name": info.name if fields else None,
        "project": info.project or None,
        "queue": info.queue or None,
        "next_at": _time(score),
        "broken": broken,
    }
    if schedule is None or broken:
        return row, None
    return row | {
        "interval_seconds": schedule.interval_seconds,
        "cron": schedule.cron,
        "timezone": schedule.timezone if schedule.cron else None,
        "recurs": schedule.recurs,
        "repeat": schedule.repeat,
        "misfire": schedule.misfire.value,
        "overlap": schedule.overlap.value,
        "grace_seconds": schedule.grace_seconds,
        "jitter_seconds": schedule.jitter_seconds,
        "paused": schedule.paused and schedule.recurs,
        "waits": schedule.held is not None,
        "runs": schedule.runs,
    }, schedule


def _last_run(run_id: str, fields: dict[bytes, bytes]) -> Row:
    """What became of a run; all but its id is None once its job is no longer kept."""
    if not fields:
        return {"job_id": run_id, "status": None, "ended_at": None, "error": None}
    info = job_info(run_id, fields, None)
    return {"job_id": run_id, "status": info.status.value, "ended_at": info.ended_at, "error": info.error}


def _cure(schedule_id: str, *, is_entered: bool, is_kept: bool) -> str:
    if is_entered:
        return f"it is in the schedule again; `ltmc schedules put-back {schedule_id}` takes it off this list"
    if not is_kept:
        return f"declare it again; `ltmc schedules cancel {schedule_id}` takes it off this list"
    return (
        f"declare it again, or mend what the reason names and `ltmc schedules put-back {schedule_id}`; "
        f"`ltmc schedules cancel {schedule_id}` gives it up"
    )


def _require_entered(connection: Redis, schedule_id: str) -> float:
    """When it is due; InvalidArguments for what is not in the schedule."""
    score: Any = connection.zscore(ENTRIES, schedule_id)
    if score is not None:
        return float(score)
    if _is_aside(connection, schedule_id):
        told = f"{schedule_id} cannot run and was set aside; `ltmc schedules aside` says why and what helps"
        raise InvalidArguments(told, field="id")
    raise InvalidArguments(f"there is no schedule {schedule_id}; `ltmc schedules list` shows them", field="id")


def _require_recurring(connection: Redis, schedule_id: str) -> None:
    _require_entered(connection, schedule_id)
    meta: Any = _hashes(connection, [schedule_id])[schedule_id].get(b"meta", b"")
    schedule, _ = read_schedule(schedule_id, meta)
    if not schedule.recurs:
        told = f"{schedule_id} runs once; `ltmc schedules cancel {schedule_id}` takes it out"
        raise InvalidArguments(told, field="id")


def _is_aside(connection: Redis, schedule_id: str) -> bool:
    return any(entry["id"] == schedule_id for entry in clockwork.set_aside(connection))


def _time(score: float) -> str | None:
    """A score as a time; None for one that no calendar has, as anybody may write."""
    try:
        return datetime.fromtimestamp(score, UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError):
        return None
