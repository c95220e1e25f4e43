"""A change of one file: its bytes before and after, shown as a diff, done at once and whole, undone exactly."""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass
from pathlib import Path

from ltmc_jobs.errors import Misconfigured


@dataclass(frozen=True, slots=True)
class Change:
    """What a file has, and what it is to have; None: it is not there."""

    file: Path
    before: bytes | None
    after: bytes | None

    @property
    def is_none(self) -> bool:
        return self.before == self.after

    def diff(self) -> str:
        """As `diff -u` shows it."""
        old, new = ((side or b"").decode(errors="replace").splitlines() for side in (self.before, self.after))
        was, will = (str(self.file) if side is not None else "/dev/null" for side in (self.before, self.after))
        return "\n".join(difflib.unified_diff(old, new, was, will, lineterm=""))

    def apply(self) -> None:
        """Do it; Misconfigured where the file has changed since it was read, or cannot be written."""
        if read(self.file) != self.before:
            raise Misconfigured(f"{self.file} has just been changed by another program; run this again")
        try:
            if self.after is None:
                self.file.unlink()
                return
            self.file.parent.mkdir(parents=True, exist_ok=True)
            whole = self.file.resolve()  # a link stays one
            fresh = whole.with_name(f".{whole.name}.{os.getpid()}")
            mode = whole.stat().st_mode & 0o777 if whole.exists() else None
            with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode or 0o666), "wb") as file:
                file.write(self.after)
                file.flush()
                os.fsync(file.fileno())
            if mode is not None:  # as it was, whatever is masked out here
                fresh.chmod(mode)
            fresh.replace(whole)
        except OSError as error:
            raise Misconfigured(f"{self.file} cannot be written: {error.strerror}") from None


def read(file: Path) -> bytes | None:
    """What a file has; None where there is none."""
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Misconfigured(f"{file} cannot be read: {error.strerror}") from None
