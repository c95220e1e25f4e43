"""ChildProcess: one process behind a socket, from its start to its end, which it cannot hide."""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from ltmc_jobs.errors import ChildDied, from_dict
from ltmc_jobs.queues.isolation.birth import Birth, Ends
from ltmc_jobs.queues.isolation.frames import Frames

CLOSE_SECONDS = 2.0
SEND_SECONDS = 86_400.0  # a socket knows no month
LOOK_SECONDS = 0.5  # a child's own children may hold its socket open, so its death is looked for this often
KEPT_LINES = 20


class ChildProcess:
    """One process, from its start to its end."""

    def __init__(self, options: Sequence[str], birth: Birth) -> None:
        ours, theirs = socket.socketpair()
        life_reader, self._life = os.pipe()  # never written: its end tells the child of ours, whatever it is busy with
        error_reader, error_writer = os.pipe()
        try:
            self._body = birth(Ends(theirs.fileno(), life_reader, error_writer), options)
        except BaseException:
            ours.close()
            os.close(self._life)
            os.close(error_reader)
            raise
        finally:
            theirs.close()
            os.close(life_reader)
            os.close(error_writer)
        self._socket = ours
        self._frames = Frames(ours)
        self._is_ready = False
        self._is_killed = False
        self._jobs = 0
        self._rss_at_start = 0
        self._reaping = threading.Lock()
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._listener = threading.Thread(
            target=self._listen, args=(error_reader,), daemon=True, name="isolated-stderr"
        )
        self._listener.start()

    @property
    def pid(self) -> int:
        return self._body.pid

    def wait_ready(self, until: float) -> None:
        """Wait for its first word; TimeoutError, ConnectionError when it died, or what keeps it from starting."""
        if not self._is_ready:
            message = self.receive(until)
            if "error" in message:
                raise from_dict(message["error"])
            self._rss_at_start = message["rss"]
            self._is_ready = True

    def send(self, frame: bytes, until: float) -> None:
        """Write a message; TimeoutError when it does not read, ConnectionError when it is gone."""
        self._socket.settimeout(min(max(0.001, until - time.monotonic()), SEND_SECONDS))
        try:
            self._frames.send_encoded(frame)
        finally:
            self._socket.settimeout(None)

    def receive(self, until: float) -> dict[str, Any]:
        """Its next message; TimeoutError when none came in time, ConnectionError when it is gone."""
        while True:
            message = self._frames.pop()
            if message is not None:
                return message
            left = until - time.monotonic()
            if left <= 0:
                raise TimeoutError
            if self._is_readable(min(left, LOOK_SECONDS)):
                if not self._frames.read():
                    raise ConnectionResetError("the isolated process is gone")
            elif self.ended() and not self._is_readable(0):
                raise ConnectionResetError("the isolated process is gone")

    def _is_readable(self, seconds: float) -> bool:
        poll = select.poll()
        poll.register(self._frames.fileno(), select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def is_spent(self, message: dict[str, Any], jobs: int, growth_bytes: int) -> bool:
        """Whether, after this answer, it has run enough jobs, or grown too much."""
        self._jobs += 1
        return self._jobs >= jobs or message["rss"] - self._rss_at_start > growth_bytes

    def ended(self) -> bool:
        """Whether it has; then it is reaped, and how large it was is known."""
        with self._reaping:
            return self._body.ended()

    def is_gone(self) -> bool:
        """Whether it can take no job any more: ended, or about to."""
        return self._is_killed or self.ended()

    def kill(self) -> None:
        """End it now, and whatever it has started."""
        self._is_killed = True
        if not self.ended():  # else its number may be another's
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
            with suppress(ProcessLookupError):  # before it was alone in its group
                os.kill(self.pid, signal.SIGKILL)

    def close(self) -> None:
        """Let go of it: it ends by itself, or is killed."""
        self._frames.close()
        if not self._wait_ended(CLOSE_SECONDS):
            self.kill()
            self._wait_ended(CLOSE_SECONDS)
        with suppress(OSError):
            os.close(self._life)  # not before: it would be cut short
        self._life = -1
        self._listener.join(CLOSE_SECONDS)  # its last lines

    def death(self) -> ChildDied:
        """What it died of."""
        if not self._wait_ended(CLOSE_SECONDS):
            self.kill()
            self._wait_ended(CLOSE_SECONDS)
        self._listener.join(CLOSE_SECONDS)
        code = self._body.exit_code
        name = signal.Signals(-code).name if code is not None and -code in set(signal.Signals) else None
        how = f"killed by {name}" if name else "nobody knows how" if code is None else f"exit code {code}"
        return ChildDied(
            f"the job's own process died while it ran ({how})",
            exit_code=code,
            signal=name,
            peak_rss_bytes=self._body.peak_rss_bytes,
            last_lines=list(self._lines),
        )

    def _wait_ended(self, seconds: float) -> bool:
        until = time.monotonic() + seconds
        pause = 0.001
        while not self.ended():
            if time.monotonic() > until:
                return False
            time.sleep(pause)
            pause = min(2 * pause, 0.05)
        return True

    def _listen(self, errors: int) -> None:
        """Pass its log on to ours, and keep the end of it."""
        with os.fdopen(errors, "rb") as lines, suppress(ValueError):
            for line in lines:
                self._lines.append(line.decode(errors="replace").rstrip())
                sys.stderr.write(line.decode(errors="replace"))
                sys.stderr.flush()
