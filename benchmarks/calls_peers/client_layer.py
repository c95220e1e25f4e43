"""P08: Redis operations per second through the connections that every process of ours holds, beside plain redis-py."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import redis
from redis.asyncio import Redis as AsyncRedis

from benchmarks.rows import Rows
from ltmc_jobs import keys
from ltmc_jobs.settings import Settings
from ltmc_jobs.shared import Shared

AT_ONCE = 100  # operations in a pipeline
CASE = "P08 Redis operations, 100 in a pipeline"


def measure(settings: Settings, shared: Shared, rows: Rows, seconds: float) -> None:
    """Sets and gets in turns, blocking and on an event loop."""
    plain = redis.Redis.from_url(settings.redis_address())
    rows.held(CASE, "blocking", _blocking(shared.redis, seconds), 10_000, "1/s")
    rows.add(CASE, "blocking", _blocking(plain, seconds), "1/s", system="redis-py")
    plain.close()
    ours, its = asyncio.run(_both(settings, shared, seconds))
    rows.held(CASE, "asyncio", ours, 10_000, "1/s")
    rows.add(CASE, "asyncio", its, "1/s", system="redis-py")


def _fill(pipeline: Any) -> None:
    for number in range(AT_ONCE // 2):
        name = keys.key("benchmark", "topic", str(number))
        pipeline.set(name, number, ex=60)
        pipeline.get(name)


def _blocking(connection: redis.Redis, seconds: float) -> float:
    done, began = 0, time.perf_counter()
    while time.perf_counter() < began + seconds:
        pipeline = connection.pipeline(transaction=False)
        _fill(pipeline)
        done += len(pipeline.execute())
    return done / (time.perf_counter() - began)


async def _both(settings: Settings, shared: Shared, seconds: float) -> tuple[float, float]:
    async def rate(connection: AsyncRedis) -> float:
        done, began = 0, time.perf_counter()
        while time.perf_counter() < began + seconds:
            pipeline = connection.pipeline(transaction=False)
            _fill(pipeline)
            done += len(await pipeline.execute())
        return done / (time.perf_counter() - began)

    plain = AsyncRedis.from_url(settings.redis_address())
    found = await rate(shared.async_redis), await rate(plain)
    await plain.aclose()
    await shared.async_redis.aclose()
    return found
