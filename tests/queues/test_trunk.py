"""One connection for all who ask in an event loop: everyone gets the answer to the own question, or redis-py's."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from typing import cast

import pytest
import redis

from ltmc_jobs.queues import trunk
from ltmc_jobs.queues.scripts import Script
from ltmc_jobs.queues.turns import TurnTaking
from tests.queues.test_line import BROKEN, ECHO, Text

SLOW = Text("for _ = 1, 1e7 do end return 'late'")


def connect(redis_url: str) -> TurnTaking:
    return cast("TurnTaking", TurnTaking.from_url(redis_url))


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[TurnTaking]:
    connected = connect(redis_url)
    yield connected
    await connected.aclose()


async def echoed(client: TurnTaking, said: str, script: Script = ECHO) -> str:
    answer: bytes = await script.run_async(client, [said])
    return answer.decode()


async def test_all_get_their_own_answers_over_one_connection(client: TurnTaking) -> None:
    said = [f"word {n}" for n in range(500)]
    assert await echoed(client, said[0]) == said[0]
    before = (await client.info("stats"))["total_connections_received"]
    assert await asyncio.gather(*(echoed(client, one) for one in said)) == said
    assert (await client.info("stats"))["total_connections_received"] == before


async def test_an_answer_that_nobody_waits_for_any_more_is_nobody_elses(client: TurnTaking) -> None:
    await client.script_load(SLOW.text)
    assert await echoed(client, "a") == "a"
    given_up = asyncio.create_task(echoed(client, "", SLOW))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    given_up.cancel()
    assert await asyncio.gather(*(echoed(client, f"{n}") for n in range(20))) == [f"{n}" for n in range(20)]


async def test_what_was_cut_is_asked_again(client: TurnTaking, redis_url: str) -> None:
    assert await echoed(client, "a") == "a"
    with redis.Redis.from_url(redis_url) as other:
        other.client_kill_filter(_type="normal", skipme=True)
    assert await asyncio.gather(*(echoed(client, f"{n}") for n in range(20))) == [f"{n}" for n in range(20)]


async def test_what_the_server_refuses_is_said_and_the_rest_goes_on(client: TurnTaking) -> None:
    for _ in range(2):
        with pytest.raises(redis.ResponseError):
            await BROKEN.run_async(client, [])
        await client.script_flush()
        assert await echoed(client, "after it") == "after it"


async def test_what_is_long_keeps_nobody_waiting(client: TurnTaking) -> None:
    long = "x" * (2 * trunk.QUESTION_BYTES)
    assert await asyncio.gather(*(echoed(client, one) for one in (long, "short"))) == [long, "short"]


def test_each_event_loop_has_its_own(redis_url: str) -> None:
    client = connect(redis_url)

    async def ask(said: str) -> None:
        assert await echoed(client, said) == said
        await client.aclose()

    for said in ("first", "second"):
        asyncio.run(ask(said))


async def test_a_silent_server_is_given_up(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked meanwhile is answered when it speaks again."""
    monkeypatch.setattr(trunk, "PATIENCE_SECONDS", 0.3)
    client = connect(redis_url)
    assert await echoed(client, "a") == "a"
    server = (await client.info("server"))["process_id"]
    os.kill(server, signal.SIGSTOP)
    try:
        with pytest.raises(trunk.NoAnswer):
            await asyncio.wait_for(client._trunk.ask("GET", "nothing"), 5)  # type: ignore[union-attr]
    finally:
        os.kill(server, signal.SIGCONT)
    assert await echoed(client, "b") == "b"
    await client.aclose()
