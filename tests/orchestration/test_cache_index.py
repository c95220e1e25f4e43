"""The index of a project's caches: its counts equal a recount, it is bounded, and it flushes nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ltmc_jobs import client, keys, registry
from ltmc_jobs.orchestration.cache_index import ENTRIES, KINDS, Kind
from ltmc_jobs.orchestration.tool_cache import kind_of
from ltmc_jobs.queues.contract import ANYONE
from ltmc_jobs.queues.envelope import Call, Keyring
from ltmc_jobs.registry import Cache, Tool
from ltmc_jobs.services import Services
from ltmc_jobs.shared import Shared
from tests.conftest import MakeSettings, wait_until

assert client.tools  # declares them

FOREIGN = (
    *("foreign", "session:1", "tool_cache:x", "rq:job:planted", "rq:queue:default", "ltmc:lock:memory"),
    *(keys.key("default", "topic", "memory"), keys.key("_", "leader"), "ltmc:2:default:cache:x"),
    *("ltmc:1:defaults:cache:x:1:0", "ltmc:embedding:1"),
)


def name(kind: Kind, number: int, project: str = "default") -> str:
    """The key of an entry of this kind."""
    family = "embedding" if kind == "embeddings" else "cache"
    return keys.key(project, family, kind, str(number))


def fill(shared: Shared, kind: Kind, count: int, *, project: str = "default", ttl_seconds: float = 60) -> None:
    for number in range(count):
        shared.cache_index.keep(kind, name(kind, number, project), "entry", ttl_seconds)


def recount(shared: Shared, project: str = "default") -> dict[str, int]:
    """How many keys there are, by looking at all of them."""
    looked = (shared.redis.scan_iter(f"ltmc:1:{project}:{family}:*") for family in ("cache", "embedding"))
    kinds = [keys.parse(raw.decode())[2][0] for names in looked for raw in names]
    return {kind: kinds.count(kind) for kind in KINDS}


async def test_a26_the_counts_equal_a_recount(shared: Shared) -> None:
    """A26: by kind and project, what has expired or was replaced among them, at most 1,000 of a kind."""
    sizes: dict[Kind, int] = {"embeddings": 3, "queries": ENTRIES + 7, "tools": 5, "chunks": 2}
    for kind, size in sizes.items():
        fill(shared, kind, size)
        fill(shared, kind, 2)  # again: replaced, not added
    fill(shared, "tools", 4, project="other")
    shared.cache_index.keep("tools", name("tools", 99), "soon gone", 0.05)
    wait_until(lambda: not shared.redis.exists(name("tools", 99)), 5)
    counted = await shared.cache_index.counts("default")
    assert counted == recount(shared) == {"embeddings": 3, "queries": ENTRIES, "tools": 5, "chunks": 2}
    assert (await shared.cache_index.counts("other"))["tools"] == 4
    await shared.async_redis.aclose()


async def test_a26_a_count_costs_the_same_however_many_keys_there_are(shared: Shared) -> None:
    """A26: the same few commands with 10 keys and with 10,000, and none that walks through keys."""

    async def commands() -> dict[str, int]:
        shared.redis.config_resetstat()
        await shared.server.stats("default")
        told = shared.redis.info("commandstats")
        return {name: told[name]["calls"] for name in told if "config" not in name and "hello" not in name}

    await shared.server.stats("default")  # connected
    few = await commands()
    pipeline = shared.redis.pipeline(transaction=False)
    for number in range(10_000):
        pipeline.set(f"rq:test:{number}", "x")
    pipeline.execute()
    fill(shared, "tools", 300)
    many = await commands()
    assert few == many
    assert set(many) <= {f"cmdstat_{word}" for word in ("time", "zcount", "dbsize", "info", "ping", "client|setinfo")}
    await shared.async_redis.aclose()


@pytest.mark.parametrize("kind", KINDS)
def test_a27_only_the_cache_is_flushed(shared: Shared, kind: Kind) -> None:
    """A27: queues, locks, other kinds, other projects and what others keep in the same database all stay."""
    planted = dict.fromkeys(FOREIGN, b"kept")
    shared.redis.mset(planted)
    for each in KINDS:
        fill(shared, each, 3)
        fill(shared, each, 3, project="other")
    index = keys.key("default", "cached", kind)
    shared.redis.zadd(index, dict.fromkeys(planted, 1e15))  # even if the index named them
    before = recount(shared)
    assert shared.cache_index.flush("default", kind) == 3
    assert recount(shared) == before | {kind: 0}
    assert recount(shared, "other") == dict.fromkeys(KINDS, 3)
    assert dict(zip(planted, shared.redis.mget(list(planted)), strict=True)) == planted
    assert not shared.redis.exists(index)
    assert shared.cache_index.flush("default", kind) == 0
    shared.redis.unlink(*planted)


def test_searches_are_counted_as_queries_and_the_rest_as_tools() -> None:
    """A27: so that the two can be flushed apart."""
    search, store = registry.find("retrieve_memory"), registry.find("store_memory")
    assert isinstance(search, Tool)
    assert isinstance(store, Tool)
    assert (kind_of(search), kind_of(replace(store, cache=Cache(("memory",))))) == ("queries", "tools")


def test_a_query_is_embedded_once(shared: Shared) -> None:
    """The second time the vector comes from the cache, the same one; its text is nowhere in Redis."""
    call = Call("job", registry.kind("retrieve_memory"), {}, "default", ANYONE, "trace", None)
    services = replace(Services.open(shared), call=call)
    first = services.query_vector("Which moss drinks fog?")
    assert services.tiers._embedders
    assert np.isclose(np.linalg.norm(first), 1.0, atol=1e-4)
    again = replace(Services.open(shared), call=call)
    assert np.array_equal(again.query_vector("Which moss drinks fog?"), first)
    assert not again.tiers._embedders, "no model was loaded for it"
    elsewhere = replace(again, call=replace(call, project="other"))
    assert np.array_equal(elsewhere.query_vector("Which moss drinks fog?"), first)
    assert again.tiers._embedders, "a project learns nothing of another's questions"
    assert not any("moss" in raw.decode().lower() for raw in shared.redis.scan_iter("*"))
    assert not again.query_vector("Which moss drinks dew?") @ first > 0.999


def test_without_redis_a_vector_is_a_miss_and_no_error(make_settings: MakeSettings) -> None:
    """A server that is away costs a hit, never the answer."""
    settings = make_settings(REDIS_ENABLED="false")
    settings.home.mkdir(mode=0o700)
    Keyring.make(settings)
    apart = Shared.open_apart(settings)
    apart.embeddings.keep("default", "model", "text", b"vector")
    assert apart.embeddings.find("default", "model", "text") is None
    apart.close()
