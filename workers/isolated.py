"""`python -m workers.isolated`: the child of an IsolatedProcess, or of a front end that serves calls by itself.

It ends when its starter does.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import signal
import socket
import sys
import threading
from contextlib import suppress
from importlib import import_module

import ltmc_jobs.jobs
import ltmc_jobs.tools  # importing these two declares what may run
from ltmc_jobs import logs, user_tools
from ltmc_jobs.errors import LtmcError
from ltmc_jobs.queues.isolation.frames import Frames
from ltmc_jobs.settings import Settings
from workers.isolated_child import IsolatedChild

assert ltmc_jobs.jobs
assert ltmc_jobs.tools


def end_with_starter(life: int) -> None:
    """Die as soon as nobody holds the other end of this pipe, even in native code that keeps Python's lock."""
    os.set_inheritable(life, False)
    with suppress(OSError):  # the kernel sends SIGIO, which kills; where pipes cannot do that, the thread has to do
        signal.signal(signal.SIGIO, signal.SIG_DFL)
        fcntl.fcntl(life, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(life, fcntl.F_SETFL, fcntl.fcntl(life, fcntl.F_GETFL) | os.O_ASYNC)
    threading.Thread(target=_watch, args=(life,), daemon=True, name="life").start()


def _watch(life: int) -> None:
    while os.read(life, 1):
        pass
    os._exit(1)


def main(arguments: list[str] | None = None) -> int:
    """0 after the starter closed its end, 2 when a setting is wrong."""
    parser = argparse.ArgumentParser(prog="python -m workers.isolated")
    parser.add_argument("--socket", type=int, required=True, help="descriptor of the socket that jobs come by")
    parser.add_argument("--life", type=int, required=True, help="descriptor of the pipe that ends with the starter")
    parser.add_argument("--local", action="store_true", help="serve calls without the queue")
    parser.add_argument("--module", action="append", default=[], help="declares further job kinds")
    given = parser.parse_args(arguments)
    end_with_starter(given.life)
    os.set_inheritable(given.socket, False)
    # A terminal's interrupt, or a stop sent to every process, is the starter's to handle.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    frames = Frames(socket.socket(fileno=given.socket))
    try:
        for module in given.module:
            import_module(module)
        settings = Settings.load()
        logs.configure(settings.log_level, process="isolated")
        user_tools.load(settings)  # here, not before the fork: a file may open what must not cross one
        if given.local:
            from workers.local import LocalChild

            child: IsolatedChild = LocalChild(settings, frames)
        else:
            child = IsolatedChild(settings, frames)
    except LtmcError as error:
        frames.send({"error": error.as_dict()})
        return 2
    with suppress(ConnectionError):
        child.serve()
    child.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
