"""The state of Redis, read at one moment and put back: with life and all types, whoever writes meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from ltmc_jobs import keys
from ltmc_jobs.errors import Conflict
from workers.copies import redis_state
from workers.copies.reading import Reading


@pytest.fixture
def connection(redis_url: str) -> Iterator[Redis]:
    """The private server; what a test leaves is taken away, as no job made it."""
    with Redis.from_url(redis_url) as opened:
        yield opened
        opened.flushall()


def test_every_type_comes_back_with_the_life_it_had(connection: Redis, tmp_path: Path) -> None:
    """D11: strings, hashes, lists, sets, sorted sets, streams; keys of others stay where they are."""
    connection.set("rq:odd\xff:name", b"\x00\xff")
    connection.hset("rq:job:one", mapping={"status": "queued", "data": "x" * 5000})
    connection.sadd("rq:job:one:dependents", "two")
    connection.rpush("rq:queue:default", "one", "two")
    connection.sadd("rq:queues", "rq:queue:default")
    connection.zadd("rq:scheduled:default", {"three": 1.5})
    connection.xadd("rq:results:one", {"return_value": "1"}, id="5-1")
    connection.set(keys.key("default", "topic", "memory"), 7, px=60_000)
    connection.set("somebody:else", "untouched")
    before = {name: connection.dump(name) for name in redis_state.our_keys(connection)}
    assert len(before) == 8

    file = tmp_path / "state"
    redis_state.write_to(connection, file)
    assert redis_state.counts(file) == {"keys": 8, "jobs": 1}
    assert redis_state.waiting(connection) == {"default": 2}
    connection.set("rq:later", "gone again")
    redis_state.remove(connection)
    assert redis_state.our_keys(connection) == []
    assert redis_state.put_back(connection, file) == 8
    assert {name: connection.dump(name) for name in redis_state.our_keys(connection)} == before
    assert 50_000 < connection.pttl(keys.key("default", "topic", "memory")) <= 60_000
    assert connection.pttl("rq:job:one") == -1
    assert connection.get("somebody:else") == b"untouched"


def test_it_is_the_state_of_one_moment(connection: Redis, redis_url: str, tmp_path: Path) -> None:
    """D11: of two keys that are always written first the one and then the other, the copy never has only the second."""
    ended = threading.Event()

    def count() -> None:
        with Redis.from_url(redis_url) as own:
            n = 0
            while not ended.is_set():
                n += 1
                own.set("rq:aaa", n)
                own.set("rq:zzz", n)

    for n in range(3000):  # enough for several batches between the two
        connection.set(f"rq:filling:{n}", n)
    connection.mset({"rq:aaa": 0, "rq:zzz": 0})
    thread = threading.Thread(target=count)
    thread.start()
    try:
        for turn in range(5):
            file = tmp_path / str(turn)
            with redis_state.writes_held(connection):
                redis_state.write_to(connection, file)
                first, second = connection.mget("rq:aaa", "rq:zzz")
            found = {name: content for name, _, content in redis_state.frames(file)}
            connection.restore("rq:copy:first", 0, found[b"rq:aaa"], replace=True)
            connection.restore("rq:copy:second", 0, found[b"rq:zzz"], replace=True)
            assert connection.mget("rq:copy:first", "rq:copy:second") == [first, second]
            assert 0 <= int(first or 0) - int(second or 0) <= 1
    finally:
        ended.set()
        thread.join()


def test_little_is_left_to_read_while_writes_wait(redis_url: str, tmp_path: Path) -> None:
    """D11: what was read ahead counts, unless it was written since, has gone or has come; writes wait for the rest."""
    with Redis.from_url(redis_url, single_connection_client=True, protocol=2) as connection:
        for n in range(1200):
            connection.set(f"rq:kept:{n}", n)
        connection.hset("rq:changed", "a", "1")
        connection.set("rq:gone", "1")
        reading = Reading(connection, tmp_path)
        with Redis.from_url(redis_url) as somebody:
            somebody.hset("rq:changed", "a", "2")
            somebody.delete("rq:gone")
            somebody.set("rq:come", "1")
            somebody.set("elsewhere", "1")
        with redis_state.writes_held(connection):
            reading.settle()
        late = {name for name, _, _ in redis_state.frames(tmp_path / "late")}
        assert late == {b"rq:changed", b"rq:come"}
        reading.write_to(tmp_path / "state")
        reading.close()
        assert [path.name for path in tmp_path.iterdir()] == ["state"]
        before = {name: connection.dump(name) for name in redis_state.our_keys(connection)}
        assert {name: content for name, _, content in redis_state.frames(tmp_path / "state")} == before
        assert len(before) == 1202
        connection.flushall()


def test_a_server_that_was_emptied_meanwhile(redis_url: str, tmp_path: Path) -> None:
    """It is told without names."""
    with Redis.from_url(redis_url, single_connection_client=True, protocol=2) as connection:
        connection.mset({"rq:one": 1, "rq:two": 2})
        reading = Reading(connection, tmp_path)
        connection.flushall()
        connection.set("rq:one", 3)
        with redis_state.writes_held(connection):
            reading.settle()
        reading.write_to(tmp_path / "state")
        reading.close()
        assert [content for _, _, content in redis_state.frames(tmp_path / "state")] == [connection.dump("rq:one")]
        connection.flushall()


def test_workers_of_then_hold_nothing(connection: Redis, tmp_path: Path) -> None:
    """What they held goes back into its queue at once: their leases have ended when the state is put back."""
    connection.zadd(redis_state.LEASES, {"host.default-1.1.1.here": 9e9})
    redis_state.write_to(connection, tmp_path / "state")
    redis_state.put_back(connection, tmp_path / "state")
    assert connection.zrange(redis_state.LEASES, 0, -1, withscores=True) == [(b"host.default-1.1.1.here", 0.0)]


def test_content_of_another_server_is_refused(connection: Redis, tmp_path: Path) -> None:
    connection.set("rq:one", "1")
    redis_state.write_to(connection, tmp_path / "state")
    content = bytearray((tmp_path / "state").read_bytes())
    content[-10] = 200  # the number of the format, two bytes before the checksum
    (tmp_path / "state").write_bytes(content)
    with pytest.raises(Conflict, match="cannot take what another one wrote"):
        redis_state.put_back(connection, tmp_path / "state")
    (tmp_path / "state").write_bytes(content[:-3])
    with pytest.raises(Conflict, match="damaged"):
        redis_state.counts(tmp_path / "state")
