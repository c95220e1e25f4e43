"""Where the dashboard's process and the front end meet: one answer for both."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from pathlib import Path

from ltmc_jobs.errors import Misconfigured
from ltmc_jobs.settings import Settings

LONGEST = 100  # bytes; macOS ends a socket's path at 103, Linux at 107


def dashboard_socket(settings: Settings) -> Path:
    """In the home; where that is too long a path for a socket, in a private directory with a short one."""
    usual = settings.run_directory / "dashboard.sock"
    if len(os.fsencode(usual)) <= LONGEST:
        return usual
    name = f"ltmc-{os.getuid()}-{hashlib.sha256(os.fsencode(settings.home)).hexdigest()[:16]}"
    places = [Path(tempfile.gettempdir()), Path("/tmp")]
    place = next((place for place in places if len(os.fsencode(place / name / usual.name)) <= LONGEST), places[-1])
    return _private(place / name) / usual.name


def _private(directory: Path) -> Path:
    """The directory, made if need be; another user may have made one of this name first."""
    directory.mkdir(mode=0o700, exist_ok=True)
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise Misconfigured(f"{directory} is not this user's alone: remove it, or set LTMC_HOME to a shorter path")
    return directory
