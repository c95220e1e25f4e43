"""The MCP server over stdin and stdout, for one host."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mcp.server.stdio import stdio_server

from api import platform
from api.mcp.server import build
from api.mcp.unreadable import Readable
from ltmc_jobs import logs, user_tools
from ltmc_jobs.client import Client
from ltmc_jobs.errors import LtmcError, Misconfigured, Unavailable
from ltmc_jobs.queues.contract import Principal
from ltmc_jobs.session import Session
from ltmc_jobs.settings import Settings
from ltmc_jobs.shared import Shared

START_SECONDS = 60.0


def serve_stdio(settings: Settings, project: str | None = None) -> None:
    """Serve one host over stdin and stdout until it closes them; starts the platform when none runs.

    When that fails: a line on standard error, and exit code 1.
    """
    logs.configure(settings.log_level, process="mcp")
    # The thread that reads stdin would outlive an orderly interrupt, and there is nothing to tidy up.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        chosen = Session(project or settings.project).project
        with _streams_aside(), _one_at_a_time(settings.home):
            _ensure_served(settings)
            for mistake in user_tools.load(settings).mistakes:
                sys.stderr.write(f"ltmc mcp: left out: {mistake}\n")
        asyncio.run(_serve_stdio(settings.model_copy(update={"project": chosen})))
    except LtmcError as error:
        sys.stderr.write(f"ltmc mcp: {error}\n")
        sys.exit(1)


def _ensure_served(settings: Settings) -> None:
    """Start the platform unless it serves."""
    platform.ensure_running(settings)
    deadline = time.monotonic() + START_SECONDS
    # It may be somebody else who is starting it: then the command returns before it is ready.
    while not platform.serves(settings):
        if time.monotonic() > deadline:
            raise Unavailable("the platform runs but serves no calls; ./start_workers.sh status says more")
        time.sleep(0.2)


@contextmanager
def _one_at_a_time(home: Path) -> Iterator[None]:
    """Of hosts that begin at once, as an editor's do, one starts the platform and the others wait for it."""
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        directory = os.open(home, os.O_RDONLY)  # the lock is on it, so that no file makes an empty home a used one
    except OSError as error:
        raise Misconfigured(f"{home} cannot be used: {error.strerror}; set LTMC_HOME to another") from None
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        yield
    finally:
        os.close(directory)


@contextmanager
def _streams_aside() -> Iterator[None]:
    """Within, children read nothing of the protocol's stdin, and what anyone prints goes to standard error."""
    kept = os.dup(0), os.dup(1)
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    try:
        yield
    finally:
        for number, file in enumerate(kept):
            os.dup2(file, number)
            os.close(file)


async def _serve_stdio(settings: Settings) -> None:
    shared = Shared.open(settings)
    client = Client(shared)
    server = build(lambda: client, settings, principal=Principal("stdio"))
    try:
        async with stdio_server() as (reading, writing):
            await server.run(Readable(reading, writing), writing, server.create_initialization_options())
    finally:
        await shared.aclose()
