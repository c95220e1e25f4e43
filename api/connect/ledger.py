"""Ledger: what was done to the files of clients, and what they had before; kept for the owner alone."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from api.connect.change import Change
from ltmc_jobs.private_files import make_private, write_private


@dataclass(frozen=True, slots=True)
class Entry:
    """How a file was left: its digest, whether it was there before, and which members and folders are our making."""

    file: str
    existed: bool
    digest: str
    members: list[list[str]]
    folders: list[str]


class Ledger:
    """One small file for each that was changed, and beside it what that had before."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def entry(self, file: Path) -> Entry | None:
        """How we left a file; None for one that we have nothing in."""
        with suppress(OSError, ValueError, TypeError):
            return Entry(**json.loads(self._place(file, ".json").read_text()))
        return None

    def original(self, file: Path, now: bytes | None) -> tuple[bool, bytes | None]:
        """Whether a file is still as we left it, and then what it had before us."""
        entry, backup = self.entry(file), self.backup(file)
        if entry is None or now is None or entry.digest != digest(now):
            return False, None
        if not entry.existed:
            return True, None
        return (True, backup.read_bytes()) if backup.exists() else (False, None)

    def note(self, change: Change, original: bytes | None, members: list[list[str]]) -> None:
        """Before a change is done: what the file has without us."""
        make_private(self._folder)
        if original is not None:
            write_private(self.backup(change.file), original.decode())
        known = self.entry(change.file)
        missing = [str(folder) for folder in change.file.parents if not folder.exists()]
        entry = Entry(
            str(change.file),
            original is not None,
            digest(change.after or b""),
            members,
            missing or (known.folders if known else []),
        )
        write_private(self._place(change.file, ".json"), json.dumps(asdict(entry), indent=1))

    def forget(self, files: Iterable[Path]) -> None:
        """All these are undone: the folders that we made go too, where nothing else is in them; the backups stay."""
        folders: set[str] = set()
        for file in files:
            entry = self.entry(file)
            folders |= set(entry.folders) if entry else set()
            self._place(file, ".json").unlink(missing_ok=True)
        for folder in sorted(folders, key=len, reverse=True):  # the deepest first
            with suppress(OSError):
                Path(folder).rmdir()

    def backup(self, file: Path) -> Path:
        """Where what a file had is kept."""
        return self._place(file, ".before")

    def _place(self, file: Path, ending: str) -> Path:
        return self._folder / f"{file.name}-{digest(os.fsencode(file.absolute()))[:12]}{ending}"


def digest(content: bytes) -> str:
    """What tells two contents apart."""
    return hashlib.sha256(content).hexdigest()
