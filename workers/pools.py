"""Which worker processes there are, and which queues each serves."""

from __future__ import annotations

from typing import NamedTuple

from ltmc_jobs.registry import STORELESS_QUEUES, Queue
from ltmc_jobs.settings import Settings


class Pool(NamedTuple):
    """So many processes, each serving these queues, the first one first."""

    name: str
    queues: tuple[Queue, ...]
    processes: int


def pools_of(settings: Settings, with_stores: bool) -> list[Pool]:
    """The pools of a host that holds the stores, or of one that only lends its processors."""
    if not with_stores:
        return [Pool("remote", STORELESS_QUEUES, settings.worker_count)]
    return [
        Pool("critical", (Queue.CRITICAL,), 1),
        Pool("high", (Queue.HIGH, Queue.CRITICAL), 2),
        Pool("default", (Queue.DEFAULT, Queue.LOW), settings.worker_count),
        Pool("embedding", (Queue.EMBEDDING,), 1),
        Pool("vectors", (Queue.VECTORS,), 1),  # alone: nothing slow may stand before the one writer of the index
        Pool("errands", (Queue.GRAPH, Queue.WEBHOOKS, Queue.LLM, Queue.MAINTENANCE), 1),
    ]
