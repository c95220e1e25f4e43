"""The connection kept at hand: every caller gets the answer to its own question, whatever happens to the connection."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
import redis

from ltmc_jobs.queues.line import Line
from ltmc_jobs.queues.scripts import Script


class Text(Script):
    """A script of its own text."""

    def __init__(self, text: str) -> None:
        self.name, self.text = "text", text
        self.digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


ECHO = Text("return ARGV[1]")
SLOW = Text("""
local function now() local t = redis.call('TIME'); return t[1] + t[2] / 1000000 end
local till = now() + 0.6
while now() < till do end
return 'late'""")
BROKEN = Text("return redis.call('NOSUCH')")


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as connected:
        yield connected


def test_a_server_that_lacks_the_script_is_given_it(client: redis.Redis) -> None:
    line = Line(client)
    for _ in range(2):
        client.script_flush()
        assert line.run(ECHO, ["a"]) == b"a"
        assert line.run(ECHO, ["b"]) == b"b"


def test_threads_do_not_get_one_anothers_answers(client: redis.Redis) -> None:
    line, wrong = Line(client), []

    def ask(name: str) -> None:
        for n in range(300):
            if line.run(ECHO, [f"{name}-{n}"]) != f"{name}-{n}".encode():
                wrong.append(name)

    threads = [threading.Thread(target=ask, args=[f"t{n}"]) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_connection_that_was_cut_is_made_anew(client: redis.Redis) -> None:
    line = Line(client)
    assert line.run(ECHO, ["a"]) == b"a"
    client.client_kill_filter(_type="normal", skipme=True)
    assert line.run(ECHO, ["b"]) == b"b"


def test_what_the_server_refuses_is_said_and_the_line_goes_on(client: redis.Redis) -> None:
    line = Line(client)
    for _ in range(2):
        with pytest.raises(redis.ResponseError):
            line.run(BROKEN, [])
        assert line.run(ECHO, ["a"]) == b"a"


INTERRUPTED = """
import signal, sys
import redis
from ltmc_jobs.queues.line import Line
from tests.queues.test_line import ECHO, SLOW

class Interrupted(BaseException): pass

def interrupt(*_):
    raise Interrupted

client = redis.Redis.from_url(sys.argv[1])
line = Line(client)
client.script_load(SLOW.text)
signal.signal(signal.SIGALRM, interrupt)
try:
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    line.run(SLOW, [])
except Interrupted:
    print(line.run(ECHO, ["c"]).decode())
"""


def test_an_interrupted_calls_answer_is_nobody_elses(redis_url: str) -> None:
    """As when a job's time is over while it enqueues. In a process whose timer nobody else uses."""
    command = [sys.executable, "-c", INTERRUPTED, redis_url]
    said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert said.stdout == "c\n"


def test_a_child_has_a_connection_of_its_own(client: redis.Redis) -> None:
    line = Line(client)
    assert line.run(ECHO, ["a"]) == b"a"
    child = os.fork()
    if child == 0:
        right = all(line.run(ECHO, [f"child-{n}"]) == f"child-{n}".encode() for n in range(200))
        os._exit(0 if right else 1)
    assert all(line.run(ECHO, [f"parent-{n}"]) == f"parent-{n}".encode() for n in range(200))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
