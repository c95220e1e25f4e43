"""The fleet as Redis knows it: hosts, their processes, what each holds and until when; who leads, who is drained."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from redis import Redis

from ltmc_jobs import keys
from ltmc_jobs.queues import control
from ltmc_jobs.queues.inspect import job_info, job_key

LEASES = keys.key(keys.INSTALLATION, "lease")
LEADER = keys.key(keys.INSTALLATION, "leader")
JOBS_SHOWN = 20  # of what a process holds

Row = dict[str, Any]


def host_of(worker: str, hostname: str = "") -> str:
    """The host in the name of a worker of ours; for a stock one, what RQ shows."""
    parts = worker.rsplit(".", 4)
    return parts[0] if len(parts) == 5 and parts[2].isdigit() else hostname


def fleet(connection: Redis) -> dict[str, Any]:
    """`{leader, hosts: [{host, drained, held, processes: [...]}]}`; times in seconds of the server's clock."""
    seconds, microseconds = connection.time()
    now = seconds + microseconds / 1e6
    leased: Any = connection.zrange(LEASES, 0, -1, withscores=True)
    leases = {name.decode(): float(ends) for name, ends in leased}
    shown: Any = connection.smembers("rq:workers")
    names = sorted({key.decode().removeprefix("rq:worker:") for key in shown} | set(leases))
    hosts: dict[str, Row] = {}
    drains = control.controls(connection).drains
    for process in _processes(connection, names, leases, now):
        host = process.pop("host")
        hosts.setdefault(host, {"host": host, "drained": drains.get(host), "held": 0, "processes": []})
        hosts[host]["processes"].append(process)
        hosts[host]["held"] += process["held"]
    for host in set(drains) - set(hosts):  # drained, and nothing of it lives
        hosts[host] = {"host": host, "drained": drains[host], "held": 0, "processes": []}
    leader: Any = connection.get(LEADER)
    return {"leader": leader.decode() if leader else None, "hosts": [hosts[name] for name in sorted(hosts)]}


def held_by(connection: Redis, host: str) -> int:
    """How many jobs the worker processes of a host hold."""
    names: Any = connection.zrange(LEASES, 0, -1)
    pipeline = connection.pipeline(transaction=False)
    for name in (name.decode() for name in names):
        if host_of(name) == host:
            pipeline.scard(f"{keys.PREFIX}held:{name}")
    return sum(pipeline.execute())


def _processes(connection: Redis, names: list[str], leases: dict[str, float], now: float) -> Iterable[Row]:
    pipeline = connection.pipeline(transaction=False)
    for name in names:
        pipeline.hgetall(f"rq:worker:{name}")
        pipeline.smembers(f"{keys.PREFIX}held:{name}")
    answers = iter(pipeline.execute())
    for name in names:
        fields = {key.decode(): value.decode(errors="replace") for key, value in next(answers).items()}
        members = sorted(member.decode() for member in next(answers))
        if "death" in fields or not (fields or name in leases):
            continue
        ids = [member.rpartition(":")[0] for member in members]
        if not ids and name not in leases and fields.get("current_job"):
            ids = [fields["current_job"]]  # a stock worker's
        yield _process(name, fields, leases.get(name), now) | {
            "held": len(ids),
            "jobs": _jobs(connection, ids[:JOBS_SHOWN]),
        }


def _process(name: str, fields: dict[str, str], lease: float | None, now: float) -> Row:
    heard = _seconds(fields.get("last_heartbeat"))
    born = _seconds(fields.get("birth"))
    return {
        "host": host_of(name, fields.get("hostname", "")),
        "name": name,
        "pool": fields.get("ltmc_pool", ""),
        "pid": int(fields.get("pid") or 0),
        "state": fields.get("state", ""),
        "queues": [queue for queue in fields.get("queues", "").split(",") if queue],
        "version": fields.get("ltmc_version", ""),
        "rq_version": fields.get("version", ""),
        "python_version": fields.get("python_version", "").partition(" ")[0],
        "lease_seconds": round(lease - now, 1) if lease is not None else None,
        "heard_seconds": round(max(0.0, now - heard), 1) if heard else None,
        "up_seconds": round(max(0.0, now - born)) if born else None,
        "successful": int(fields.get("successful_job_count") or 0),
        "failed": int(fields.get("failed_job_count") or 0),
    }


def _jobs(connection: Redis, ids: list[str]) -> list[Row]:
    """What is held, the longest-running first."""
    pipeline = connection.pipeline(transaction=False)
    for job_id in ids:
        pipeline.hgetall(job_key(job_id))
    infos = [job_info(job_id, found, None) for job_id, found in zip(ids, pipeline.execute(), strict=True) if found]
    infos.sort(key=lambda info: info.started_at or "")
    return [
        {"job_id": info.id, "name": info.name, "queue": info.queue, "project": info.project, "since": info.started_at}
        for info in infos
    ]


def _seconds(text: str | None) -> float | None:
    try:
        return datetime.fromisoformat(text).timestamp() if text else None
    except ValueError:
        return None
