"""The platform as a process of its own: the command line starts it, and never imports it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click

from api import connection
from ltmc_jobs.errors import Disabled, LtmcError, Unavailable
from ltmc_jobs.registry import Queue
from ltmc_jobs.settings import Settings

ROOT = Path(__file__).resolve().parent.parent


def become(*arguments: str) -> None:
    """Go on as `python -m workers …`, with this process's terminal and signals."""
    sys.stdout.flush()
    os.execve(sys.executable, _command(*arguments), _environment())


def ensure_running(settings: Settings) -> bool:
    """Start the platform in the background unless calls are served already; whether it was started."""
    if not settings.redis_enabled:
        raise Disabled("Redis is switched off (REDIS_ENABLED=false), and calls need it")
    if serves(settings):
        return False
    click.echo("no platform runs here; starting one in the background (./start_workers.sh stop ends it) …")
    if subprocess.run(_command("start", "--detach"), env=_environment(), check=False).returncode:
        raise Unavailable("the platform did not start; `ltmc doctor` says more")
    return True


def serves(settings: Settings) -> bool:
    """Whether a worker takes calls."""
    try:
        return connection.run(settings, lambda client: client.no_worker_reason(Queue.DEFAULT)) is None
    except LtmcError:
        return False


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "workers", *arguments]


def _environment() -> dict[str, str]:
    # `-m` looks in the current directory first, where a stranger may have a package called workers.
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONSAFEPATH": "1", "PYTHONPATH": os.pathsep.join(paths)}
