"""Find jobs that RQ lost and put them back: popped by a worker that died before it said so."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from redis import Redis

SCRIPT = (Path(__file__).parent / "scripts" / "push_lost.lua").read_text()
# A living worker says within milliseconds that it has started what it popped.
CERTAIN_SECONDS = 1.0
PAGE = 1000


def put_lost_back(connection: Redis) -> list[str]:
    """Look twice, a second apart, for queued jobs in no list; put them back and give their ids.

    Reads every job's hash once: for the rare moment after a worker died.
    """
    first = find_lost(connection)
    if not first:
        return []
    time.sleep(CERTAIN_SECONDS)
    still = find_lost(connection)
    push: Any = connection.register_script(SCRIPT)
    return [
        job_id
        for job_id, queue in first.items()
        if still.get(job_id) == queue and push(keys=_keys(job_id, queue), args=[job_id])
    ]


def _keys(job_id: str, queue: str) -> list[str]:
    return [f"rq:job:{job_id}", f"rq:queue:{queue}", f"rq:queue:{queue}:intermediate", f"rq:wip:{queue}"]


def find_lost(connection: Redis) -> dict[str, str]:
    """Ids of jobs that are queued and wait in no queue, with their queue."""
    queued: dict[str, str] = {}
    cursor: Any = 0
    while True:
        cursor, found = connection.scan(cursor, match="rq:job:*", count=PAGE, _type="HASH")
        names: list[Any] = found
        pipeline = connection.pipeline(transaction=False)
        for name in names:
            pipeline.hmget(name, "status", "origin")
        for name, (status, origin) in zip(names, pipeline.execute(), strict=True):
            if status == b"queued" and origin:
                queued[name.decode().removeprefix("rq:job:")] = origin.decode()
        if cursor == 0:
            break
    pipeline = connection.pipeline(transaction=False)
    for job_id, queue in queued.items():
        pipeline.lpos(f"rq:queue:{queue}", job_id)
    places = zip(queued.items(), pipeline.execute(), strict=True)
    return {job_id: queue for (job_id, queue), place in places if place is None}
