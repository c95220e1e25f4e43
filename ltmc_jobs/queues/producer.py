"""Enqueue: one or many, now or later, each with its signed envelope; in one step, and idempotent by job id.

The commands are built without I/O; JobQueue and AsyncJobQueue send them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from json import dumps
from typing import Any

from ltmc_jobs import keys as names
from ltmc_jobs.errors import InvalidArguments
from ltmc_jobs.queues.contract import JobRef, JobSpec
from ltmc_jobs.queues.envelope import Keyring, seal
from ltmc_jobs.queues.scripts import script
from ltmc_jobs.registry import JobKind, Queue

ENQUEUE = script("enqueue", "new_job")
PAYLOAD_LIMIT = 64 * 1024 * 1024  # bytes: the longest document that a tool takes, each character escaped
ID = re.compile(r"[A-Za-z0-9_-]+")  # RQ's
CHUNK = 1000  # jobs a command: Redis serves nobody else while it runs one
CHUNK_BYTES = 8 * 1024 * 1024


def commands(specs: Sequence[JobSpec], keys: Keyring, waiter: str = "") -> list[list[Any]]:
    """The arguments of the scripts that enqueue these, in order; `waiter` is a channel to tell when they end.

    InvalidArguments, before anything is sent, for a job that cannot travel.
    """
    jobs = [(spec, _payload(spec, keys)) for spec in specs]
    built: list[list[Any]] = []
    chunk: list[tuple[JobSpec, str]] = []
    size = 0
    for spec, payload in jobs:
        if chunk and (len(chunk) == CHUNK or size + len(payload) > CHUNK_BYTES):
            built.append(_command(chunk, waiter))
            chunk, size = [], 0
        chunk.append((spec, payload))
        size += len(payload)
    if chunk:
        built.append(_command(chunk, waiter))
    return built


def refs(specs: Sequence[JobSpec], made: Sequence[int | bytes], durable: bool | None = None) -> list[JobRef]:
    """What became of the jobs, from the scripts' answers."""
    return [
        JobRef(one.decode(), queue_of(spec), created=False, durable=durable)
        if isinstance(one, bytes)
        else JobRef(spec.id, queue_of(spec), created=bool(one), durable=durable)
        for spec, one in zip(specs, made, strict=True)
    ]


def queue_of(spec: JobSpec) -> Queue:
    """Where it waits."""
    return spec.queue or spec.kind.queue


def _command(jobs: list[tuple[JobSpec, str]], waiter: str) -> list[Any]:
    groups: dict[tuple[str, str, Queue, int | None], int] = {}
    heads: list[Any] = []
    rows: list[Any] = []
    for spec, payload in jobs:
        same = (spec.kind.name, spec.project, queue_of(spec), spec.result_ttl_seconds)
        group = groups.get(same)
        if group is None:
            group = groups[same] = len(groups) + 1
            fields = shared_fields(spec.kind, spec.project, spec.result_ttl_seconds)
            heads += (queue_of(spec).value, noted(spec.project), len(fields), *fields)
        told = meta(spec) if spec.digest or (spec.trace_id and spec.trace_id != spec.id) else ""
        rows += (group, spec.id, payload, describe(spec), _due(spec), " ".join(spec.depends_on))
        rows += (waiter, told, spec.like)
    return [len(groups), *heads, *rows]


def noted(project: str) -> str:
    """The key of a project's newest jobs."""
    return names.key(project, "noted")


@lru_cache(maxsize=1024)
def shared_fields(kind: JobKind, project: str, result_ttl_seconds: int | None = None) -> tuple[Any, ...]:
    """The hash fields that all jobs of a kind and project have in common, as RQ names them: name, value, …"""
    retries = ("retries_left", kind.retries) if kind.retries else ()
    kept = kind.result_ttl_seconds if result_ttl_seconds is None else result_ttl_seconds
    return (
        *("timeout", kind.timeout_seconds, "result_ttl", kept),
        *("failure_ttl", kind.failure_ttl_seconds, "meta", dumps({"name": kind.name, "project": project})),
        *retries,
    )


def job_fields(spec: JobSpec, keys: Keyring) -> list[Any]:
    """All hash fields of a job that do not depend on when it is made: for scripts that make jobs by themselves."""
    own = [
        "data",
        _payload(spec, keys),
        "description",
        describe(spec),
        *shared_fields(spec.kind, spec.project, spec.result_ttl_seconds),
    ]
    return [*own, "meta", meta(spec)] if spec.trace_id else own


def meta(spec: JobSpec) -> str:
    """RQ's `meta` of a job with more to tell than its kind does."""
    told = {"trace_id": spec.trace_id, "digest": spec.digest}
    return dumps(
        {"name": spec.kind.name, "project": spec.project} | {name: text for name, text in told.items() if text}
    )


def describe(spec: JobSpec) -> str:
    """The call as people read it, long values cut."""
    shown = ", ".join([f"{name}={_cut(value)}" for name, value in spec.args.items()])
    return f"{spec.kind.name}({shown})"


def _cut(value: Any) -> str:
    if isinstance(value, str) and len(value) > 60:
        value = value[:60]  # a long document is not written out to be cut
    text = repr(value) if not isinstance(value, list | dict) or len(value) < 4 else f"<{len(value)} items>"
    return text if len(text) <= 60 else f"{text[:57]}…"


def _due(spec: JobSpec) -> str:
    if spec.run_at is not None:
        return f"{spec.run_at:.6f}"
    return f"+{spec.delay_seconds:.6f}" if spec.delay_seconds is not None else ""


def _payload(spec: JobSpec, keys: Keyring) -> str:
    """RQ's `data` of a job: its function's path and, as the one argument, its envelope."""
    if not all(ID.fullmatch(parent) for parent in spec.depends_on):
        raise InvalidArguments(f"{spec.kind.name}: it depends on what is no id of a job: letters, digits, - and _")
    if not ID.fullmatch(spec.id):
        raise InvalidArguments(f"{spec.id!r} is no id of a job: letters, digits, - and _")
    try:
        payload = f'["{spec.kind.path}",null,[{seal(spec, keys)}],{{}}]'
    except (TypeError, ValueError) as error:
        raise InvalidArguments(f"{spec.kind.name}: the arguments are not JSON: {error}") from None
    if len(payload) > PAYLOAD_LIMIT:
        raise InvalidArguments(
            f"{spec.kind.name}: {len(payload):,} bytes of arguments; at most {PAYLOAD_LIMIT:,} travel in a job"
        )
    return payload
