"""What the supervisor says of a port, an address and a child's end; and how long a log may get."""

from __future__ import annotations

import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from ltmc_jobs.errors import Misconfigured
from ltmc_jobs.private_files import open_log
from tests.conftest import free_port, wait_until
from workers import ports
from workers.child import Child, launch, rotate


@pytest.mark.parametrize("host", ["192.0.2.1", "nosuch.invalid", "x" * 70, "2001:db8::1"])
def test_a_host_that_is_not_here_is_named_in_one_line(host: str) -> None:
    with pytest.raises(Misconfigured, match=rf"^HTTP_HOST={host}[ :][^\n]*$"):
        ports.require_free(host, free_port(), "HTTP_PORT")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "0.0.0.0", ""])
def test_a_host_that_is_here_is_taken(host: str) -> None:
    ports.require_free(host, free_port(), "HTTP_PORT")


def test_a_port_in_use_is_refused_still() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(Misconfigured, match="in use by"):
        ports.require_free("127.0.0.1", taken.getsockname()[1], "HTTP_PORT")


def test_last_words_are_of_this_life(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    log.write_text("of an earlier start\n")
    child = Child("x", lambda: launch([sys.executable, "-c", "print('now')"], log, 0), log)
    child.start()
    wait_until(lambda: child.ended() is not None)
    assert child.last_words() == "now"


def test_a_log_is_bounded_while_its_writer_runs(tmp_path: Path) -> None:
    """What stood in it lies beside it, for the owner alone; the writer goes on at the new beginning."""
    log = tmp_path / "x.log"
    with open_log(log) as output:
        writer = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=output)
    assert writer.stdin is not None
    for text in (b"first\n", b"second\n"):
        writer.stdin.write(text)
        writer.stdin.flush()
        wait_until(lambda text=text: log.read_bytes() == text)
        rotate(log, limit=3)
        assert (log.stat().st_size, (tmp_path / "x.log.1").read_bytes()) == (0, text)
    writer.communicate(b"third\n", timeout=10)
    assert log.read_bytes() == b"third\n"
    rotate(log)
    assert log.read_bytes() == b"third\n"
    assert stat.S_IMODE((tmp_path / "x.log.1").stat().st_mode) == 0o600
