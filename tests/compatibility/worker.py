"""A worker process of ours that knows these kinds: `python -m tests.compatibility.worker POOL QUEUE…`."""

from __future__ import annotations

import sys

import tests.compatibility.kinds
from ltmc_jobs.registry import Queue
from ltmc_jobs.settings import Settings
from workers.pools import Pool
from workers.worker import work

if __name__ == "__main__":
    assert tests.compatibility.kinds
    work(Settings.load(), Pool(sys.argv[1], tuple(Queue(name) for name in sys.argv[2:]), 1))
