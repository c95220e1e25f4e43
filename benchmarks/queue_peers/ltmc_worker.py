"""A worker process of ours that knows the benchmark's job kinds: `… -m benchmarks.queue_peers.ltmc_worker QUEUE…`."""

from __future__ import annotations

import sys

from benchmarks.queue_peers.ltmc import queue_named
from ltmc_jobs.settings import Settings
from workers.pools import Pool
from workers.worker import work

if __name__ == "__main__":
    work(Settings.load(), Pool("bench", tuple(queue_named(name) for name in sys.argv[1:]), 1))
