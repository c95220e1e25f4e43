"""One call of many: waited for to its end, with a bar of how far all of them are."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from ltmc_jobs.client import Client
from ltmc_jobs.errors import Unavailable
from ltmc_jobs.registry import Queue
from ltmc_jobs.session import Session

WAIT_SECONDS = 20.0
PATIENCE_WAITS = 3  # without a worker for the job


async def call(client: Client, session: Session, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """The result of a tool, however long it takes while there is a worker for it."""
    given = {argument: value for argument, value in arguments.items() if value is not None}
    answer = await client.call(name, given, session, wait_seconds=WAIT_SECONDS)
    waits = 0
    while answer.is_handle and answer.job_id is not None:
        reason = await client.no_worker_reason(Queue.LOW)
        waits = waits + 1 if reason else 0
        if waits > PATIENCE_WAITS:
            raise Unavailable(f"{reason}; run the same command again then")
        answer = await client.result(session, answer.job_id, WAIT_SECONDS)
    return dict(answer.result or {})


@contextmanager
def progress(label: str) -> Iterator[Callable[[int, int], None]]:
    """`tell(done, of how many)` moves a bar on standard error, where somebody looks."""
    if not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    with click.progressbar(length=1000, label=label, file=sys.stderr, show_pos=False) as bar:
        yield lambda done, total: bar.update(max(0, done * 1000 // max(total, 1) - bar.pos))
        bar.update(1000 - bar.pos)
