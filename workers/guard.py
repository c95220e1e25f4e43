"""What ends our children when we are killed and cannot: a shell that reads a pipe until nobody holds its other end.

It leads the process group that all children are started in. A shell, because it costs a fiftieth of a
Python; a pipe, because it works on Linux and macOS alike, and for children that are not ours to program.
"""

from __future__ import annotations

import subprocess
from contextlib import suppress

SECONDS = 35
SCRIPT = f"""
trap '' TERM HUP INT
while read -r line; do :; done
kill -TERM 0
sleep {SECONDS}
kill -KILL 0
"""


class Guard:
    """Lives as long as this process."""

    def __init__(self) -> None:
        self._process = self._start()

    @property
    def group(self) -> int:
        """For `Popen(process_group=…)`."""
        if self._process.poll() is not None:
            self.close()
            self._process = self._start()
        return self._process.pid

    def close(self) -> None:
        """Every child has ended: there is nothing left to guard."""
        self._process.kill()
        with suppress(BrokenPipeError):
            self._process.communicate()

    @staticmethod
    def _start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            ["/bin/sh", "-c", SCRIPT],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            process_group=0,
        )
