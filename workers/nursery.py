"""Isolated processes forked from the fleet's warm image: a worker asks, its parent forks, and tells how each ended.

A worker has threads and open stores, so it cannot fork; its parent has neither. The worker's request carries the
descriptors for the child, and one on which it hears the child's pid, and at last how it ended. Where the parent is gone
or slow, the worker starts a command instead.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import struct
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

from ltmc_jobs.queues.isolation.birth import Ends, rss_bytes
from workers.signals import STOPPING

REQUEST_BYTES = 16 * 1024
BORN_SECONDS = 2.0
BORN, ENDED = struct.Struct("<q"), struct.Struct("<qq")  # a pid; an exit code, and how large it was in bytes


class Child(NamedTuple):
    """What is known of an isolated process."""

    asker: int  # the descriptor on which its end is told
    worker: int  # the pid of the process that asked for it


class Nursery:
    """The parent's side. Its door is for the processes that it forks."""

    def __init__(self) -> None:
        # Unnamed: whoever did not inherit it cannot ask. Each datagram is one request.
        self._socket, self._entrance = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._entrance.setblocking(False)
        self._children: dict[int, Child] = {}  # by pid
        self.door = Door(self._entrance)

    def fileno(self) -> int:
        """For `select`: something was asked."""
        return self._socket.fileno()

    def serve(self, forget: Callable[[], None]) -> None:
        """Fork a child for each request; it calls `forget` to let go of what is its parent's alone."""
        while True:
            try:
                message, descriptors, _, _ = socket.recv_fds(self._socket, REQUEST_BYTES, 4)
            except BlockingIOError:
                return
            try:
                if len(descriptors) == 4:
                    worker, *options = json.loads(message)
                    self._fork(options, Ends(*descriptors[:3]), Child(descriptors[3], worker), forget)
            except OSError as error:  # the machine can hold no more processes: the asker sees to it
                sys.stderr.write(f"no isolated process could be forked: {error}\n")
            finally:
                for descriptor in descriptors:
                    os.close(descriptor)

    def note_end(self, pid: int, status: int, largest: int) -> None:
        """Tell whoever waits for it how a child ended: as `os.wait4` says."""
        child = self._children.pop(pid, None)
        if child is not None:
            with suppress(OSError):  # nobody waits any more
                os.write(child.asker, ENDED.pack(os.waitstatus_to_exitcode(status), rss_bytes(largest)))
            os.close(child.asker)

    def end_those_of(self, worker: int) -> None:
        """Kill the children of a dead worker: what they did after its journal was read would be done twice."""
        for pid in [pid for pid, child in self._children.items() if child.worker == worker]:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)

    def forget(self) -> None:
        """In a forked process: let go of the parent's side."""
        self._socket.close()
        for child in self._children.values():
            os.close(child.asker)
        self._children.clear()

    def close(self) -> None:
        """Both sides."""
        self.forget()
        self._entrance.close()

    def _fork(self, options: Sequence[str], ends: Ends, child: Child, forget: Callable[[], None]) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)  # until the child has its own handlers
        try:
            pid = os.fork()
            if pid == 0:
                self._live(options, ends, child.asker, forget)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
        kept = os.dup(child.asker)
        os.set_blocking(kept, False)
        self._children[pid] = child._replace(asker=kept)
        with suppress(OSError):
            os.write(kept, BORN.pack(pid))

    def _live(self, options: Sequence[str], ends: Ends, asker: int, forget: Callable[[], None]) -> None:
        """The child's whole life."""
        status = 1
        try:
            os.setsid()  # so that what its job starts can be killed with it
            os.close(asker)
            forget()
            self.close()
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
            nothing = os.open(os.devnull, os.O_RDWR)
            for number, descriptor in enumerate((nothing, nothing, ends.errors)):
                os.dup2(descriptor, number)
            for descriptor in {nothing, ends.errors} - {0, 1, 2}:
                os.close(descriptor)
            from workers.isolated import main

            status = main(["--socket", str(ends.socket), "--life", str(ends.life), *options])
        except SystemExit as error:
            status = error.code if isinstance(error.code, int) else 1
        except BaseException:  # whatever it was, this process ends here and not in the parent's loop
            traceback.print_exc()
        finally:
            with suppress(OSError, ValueError):
                sys.stderr.flush()
            os._exit(status)


class Door:
    """A worker's side: makes an isolated process, as `ltmc_jobs.queues.isolation` wants it made."""

    def __init__(self, entrance: socket.socket) -> None:
        self._entrance = entrance

    def __call__(self, ends: Ends, options: Sequence[str]) -> Fosterling:
        """OSError when the parent makes none."""
        reader, writer = os.pipe()
        try:
            try:
                socket.send_fds(self._entrance, [json.dumps([os.getpid(), *options]).encode()], [*ends, writer])
            finally:
                os.close(writer)
            poll = select.poll()
            poll.register(reader, select.POLLIN)
            words = os.read(reader, BORN.size) if poll.poll(BORN_SECONDS * 1000) else b""
            if len(words) < BORN.size:
                raise ChildProcessError("the fleet's parent forks no isolated process")
        except BaseException:
            os.close(reader)
            raise
        (pid,) = BORN.unpack(words)
        return Fosterling(pid, reader)


class Fosterling:
    """An isolated process that is the parent's child, and not ours."""

    def __init__(self, pid: int, reader: int) -> None:
        self.pid = pid
        self.exit_code: int | None = None
        self.peak_rss_bytes = 0
        self._reader: int | None = reader
        self._is_gone = False
        os.set_blocking(reader, False)

    def ended(self) -> bool:
        """Whether it has: its parent says so; where that has died too, the system."""
        if self._reader is not None:
            try:
                words = os.read(self._reader, ENDED.size)
            except BlockingIOError:
                return False
            os.close(self._reader)
            self._reader = None
            if len(words) == ENDED.size:
                self.exit_code, self.peak_rss_bytes = ENDED.unpack(words)
                self._is_gone = True
        if not self._is_gone:
            try:
                os.kill(self.pid, 0)
            except ProcessLookupError:
                self._is_gone = True
        return self._is_gone

    def __del__(self) -> None:
        if self._reader is not None:
            os.close(self._reader)
