"""An isolated process: one warm child that runs one job at a time, and may crash, hang or be killed alone.

The child is a command (`python -m workers.isolated`), never a fork: the process that starts it has threads.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from ltmc_jobs.errors import JobCancelled, JobLost, JobTimeout, LtmcError, Unavailable, from_dict
from ltmc_jobs.queues.frames import Frames, encode

START_SECONDS = 60.0
CLOSE_SECONDS = 2.0
LOOK_SECONDS = 0.5  # a child's own children may hold its socket open, so its death is looked for this often
JOBS_PER_CHILD = 200
GROWTH_BYTES = 1 << 30
KEPT_LINES = 20
COMMAND = (sys.executable, "-m", "workers.isolated")


class ChildDied(JobLost):
    """The job's own process died while it ran: of a crash in native code, or for want of memory.

    `details`: exit_code (negative: a signal's number), signal, peak_rss_bytes (at least the starter's own size),
    last_lines of its standard error. Outside of this process it is shown as a JobLost.
    """

    code = "child_died"

    def as_dict(self) -> dict[str, Any]:
        """Without the lines, which may hold anything."""
        kept = {name: value for name, value in self.details.items() if name != "last_lines"}
        return super().as_dict() | {"code": JobLost.code, "details": kept}


class IsolatedProcess:
    """One child, started when first needed, used again for the next job, replaced when it died, grew or got old."""

    def __init__(
        self,
        options: Sequence[str] = (),
        *,
        modules: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        jobs_per_child: int = JOBS_PER_CHILD,
        growth_bytes: int = GROWTH_BYTES,
    ) -> None:
        """`modules` declare further job kinds; `environment` is the child's, else this process's own."""
        self._options = [*options, *(part for module in modules for part in ("--module", module))]
        self._environment = environment
        self._jobs_per_child = jobs_per_child
        self._growth_bytes = growth_bytes
        self._child: _Child | None = None
        self._using = threading.Lock()  # one job at a time
        self._changing = threading.Lock()  # of the fields below, and of who is killed
        self._is_running = False
        self._is_cancelled = False

    @property
    def pid(self) -> int | None:
        """The child's, where there is one."""
        child = self._child
        return child.pid if child else None

    def start(self) -> None:
        """Start the child, without waiting until it is ready."""
        if self._child is None:
            self._child = _Child(self._options, self._environment)

    def run(
        self,
        envelope: dict[str, Any],
        job_id: str,
        attempt: int,
        timeout_seconds: float,
        tell: Callable[[dict[str, Any]], None] = lambda _told: None,
    ) -> Any:
        """The result of the call in a signed envelope; raises the function's own error, its trace as a note.

        `tell` is given `{"progress": {...}}` and `{"log": line}` while it runs. JobTimeout when the time was over,
        JobCancelled after `cancel`, ChildDied when the child died by itself; after these three it is replaced.
        """
        request = encode(
            {"envelope": envelope, "job_id": job_id, "attempt": attempt, "timeout_seconds": timeout_seconds}
        )
        with self._using:
            with self._changing:
                self._is_running, self._is_cancelled = True, False
            try:
                return self._answer(request, timeout_seconds, tell)
            finally:
                with self._changing:
                    self._is_running = False

    def cancel(self) -> bool:
        """Kill the child if it runs a job, from any thread; whether it did."""
        with self._changing:
            if self._is_running:
                self._is_cancelled = True
                if self._child is not None:
                    self._child.kill()
            return self._is_running

    def close(self) -> None:
        """End the child; a running job ends as cancelled."""
        self.cancel()
        with self._using:
            if self._child is not None:
                self._child.close()
                self._child = None

    def _answer(self, request: bytes, timeout_seconds: float, tell: Callable[[dict[str, Any]], None]) -> Any:
        child = self._ready_child()
        until = time.monotonic() + timeout_seconds
        try:
            child.send(request, until)
            while "ok" not in (message := child.receive(until)) and "error" not in message:
                tell(message)
        except TimeoutError:
            self._replace(child)
            if self._is_cancelled:
                raise JobCancelled from None
            raise JobTimeout(f"stopped after {timeout_seconds:g} seconds") from None
        except ConnectionError:
            self._replace(child)
            if self._is_cancelled:
                raise JobCancelled from None
            raise child.death() from None
        except BaseException:  # of `tell`: nobody waits for the answer any more
            self._replace(child)
            raise
        if child.is_spent(message, self._jobs_per_child, self._growth_bytes):
            self._replace(child, gently=True)
        if "error" in message:
            raise _error_of(message)
        return message["ok"]

    def _ready_child(self) -> _Child:
        """A child that lives and waits for a job; Unavailable, or the child's own error, when none can be had."""
        for _ in range(2):
            with self._changing:
                if self._is_cancelled:
                    raise JobCancelled
                if self._child is not None and self._child.is_gone():  # it died with nothing to do
                    self._child.close()
                    self._child = None
                self.start()
                child = self._child
            assert child is not None
            try:
                child.wait_ready(time.monotonic() + START_SECONDS)
                return child
            except TimeoutError:
                told: LtmcError = Unavailable(f"an isolated process was not ready after {START_SECONDS:g} seconds")
            except ConnectionError:
                told = child.death()
            except LtmcError:
                self._drop(child)
                raise
            self._drop(child)
            if self._is_cancelled:
                raise JobCancelled
        raise Unavailable(f"no isolated process could be started: {told}") from told

    def _drop(self, child: _Child) -> None:
        with self._changing:
            self._child = None
        child.kill()
        child.close()

    def _replace(self, child: _Child, *, gently: bool = False) -> None:
        """End this child, and have the next one get ready while nobody waits for it."""
        if gently:
            with self._changing:
                self._child = None
            child.close()
        else:
            self._drop(child)
        with self._changing, suppress(OSError):
            self.start()


class _Child:
    """One process, from its start to its end."""

    def __init__(self, options: Sequence[str], environment: Mapping[str, str] | None) -> None:
        ours, theirs = socket.socketpair()
        life_reader, self._life = os.pipe()  # never written: its end tells the child of ours, whatever it is busy with
        try:
            self._process = subprocess.Popen(
                [*COMMAND, "--socket", str(theirs.fileno()), "--life", str(life_reader), *options],
                pass_fds=[theirs.fileno(), life_reader],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env=environment,
                start_new_session=True,  # so that what the job itself starts can be killed with it
            )
        except BaseException:
            ours.close()
            os.close(self._life)
            raise
        finally:
            theirs.close()
            os.close(life_reader)
        self._socket = ours
        self._frames = Frames(ours)
        self._is_ready = False
        self._is_killed = False
        self._jobs = 0
        self._rss_at_start = 0
        self._peak_rss_bytes = 0
        self._reaping = threading.Lock()
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._listener = threading.Thread(target=self._listen, daemon=True, name="isolated-stderr")
        self._listener.start()

    @property
    def pid(self) -> int:
        return self._process.pid

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
        self._socket.settimeout(max(0.001, until - time.monotonic()))
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
            if self._process.returncode is None:
                with suppress(ChildProcessError):
                    pid, status, usage = os.wait4(self.pid, os.WNOHANG)
                    if pid:
                        self._process.returncode = os.waitstatus_to_exitcode(status)
                        self._peak_rss_bytes = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
            return self._process.returncode is not None

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
        code = self._process.returncode
        name = signal.Signals(-code).name if code is not None and -code in set(signal.Signals) else None
        how = f"killed by {name}" if name else f"exit code {code}"
        return ChildDied(
            f"the job's own process died while it ran ({how})",
            exit_code=code,
            signal=name,
            peak_rss_bytes=self._peak_rss_bytes,
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

    def _listen(self) -> None:
        """Pass its log on to ours, and keep the end of it."""
        assert self._process.stderr is not None
        with self._process.stderr as lines, suppress(ValueError):
            for line in lines:
                self._lines.append(line.decode(errors="replace").rstrip())
                sys.stderr.write(line.decode(errors="replace"))
                sys.stderr.flush()


def _error_of(message: dict[str, Any]) -> LtmcError:
    error = from_dict(message["error"])
    if message.get("trace"):
        error.add_note(message["trace"])
    return error
