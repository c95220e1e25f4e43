"""`python -m tests.chaos.worker_process [--fleet] [--host NAME] POOL PROCESSES QUEUE…`: workers that know the kinds.

Alone, one worker; with --fleet, the platform's own forking parent over so many of them.
"""

from __future__ import annotations

import argparse

import tests.chaos.kinds
from ltmc_jobs.registry import Queue
from ltmc_jobs.settings import Settings
from workers import recovery
from workers.backoff import Backoff
from workers.fleet import Fleet, Member
from workers.pools import Pool
from workers.worker import work

assert tests.chaos.kinds


def main() -> None:
    """Work until told to stop."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--fleet", action="store_true")
    parser.add_argument("--host", default="", help="pass for another machine of this name")
    parser.add_argument("pool")
    parser.add_argument("processes", type=int)
    parser.add_argument("queues", nargs="+")
    given = parser.parse_args()
    if given.host:
        recovery.place = lambda: f"{given.host:0>8}"[:8]  # a pid means nothing to whoever has another place
    settings = Settings.load()
    pool = Pool(given.pool, tuple(Queue(name) for name in given.queues), given.processes)
    if not given.fleet:
        work(settings, pool)
        return
    fleet = Fleet(settings, with_stores=False, with_scheduler=False)
    # Young deaths are what this is about: each is replaced as soon as the first one is.
    fleet.members = [
        Member(
            f"{pool.name}-{number}",
            lambda: work(settings, pool, fleet.nursery.door),
            backoff=Backoff(young_seconds=0.0),
        )
        for number in range(pool.processes)
    ]
    fleet.run()


if __name__ == "__main__":
    main()
