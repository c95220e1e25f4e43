"""How an isolated process comes to be: as a command of its own, or by whoever can make one faster."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple, Protocol

COMMAND = (sys.executable, "-m", "workers.isolated")


class Ends(NamedTuple):
    """The descriptors that a child is given; whoever makes it does not keep them."""

    socket: int  # jobs come by it
    life: int  # of a pipe that ends with the starter
    errors: int  # its standard error


class Body(Protocol):
    """A child's process. Not for two threads at once."""

    @property
    def pid(self) -> int: ...

    @property
    def exit_code(self) -> int | None:
        """As `subprocess` has it, once it has ended; None also where nobody knows."""
        ...

    @property
    def peak_rss_bytes(self) -> int:
        """How large it was, once it has ended; 0 where nobody knows."""
        ...

    def ended(self) -> bool:
        """Whether it has; then it is reaped."""
        ...


Birth = Callable[[Ends, Sequence[str]], Body]  # OSError when none can be made


class Command:
    """A child of this process, in a session of its own, so that what its job starts can be killed with it."""

    def __init__(self, ends: Ends, options: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        self.peak_rss_bytes = 0
        self._process = subprocess.Popen(
            [*COMMAND, "--socket", str(ends.socket), "--life", str(ends.life), *options],
            pass_fds=[ends.socket, ends.life],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=ends.errors,
            env=environment,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        return self._process.returncode

    def ended(self) -> bool:
        """Whether it has; then it is reaped, and how large it was is known."""
        if self._process.returncode is None:
            with suppress(ChildProcessError):
                pid, status, usage = os.wait4(self.pid, os.WNOHANG)
                if pid:
                    self._process.returncode = os.waitstatus_to_exitcode(status)
                    self.peak_rss_bytes = rss_bytes(usage.ru_maxrss)
        return self._process.returncode is not None


def rss_bytes(maximum: int) -> int:
    """Of what the system says of a process that has ended: kilobytes, but on macOS."""
    return maximum * (1 if sys.platform == "darwin" else 1024)
