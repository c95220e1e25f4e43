"""Which files an ingest takes, and what each is called in memory."""

from __future__ import annotations

import os
import stat
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

LARGEST = 20 * 1024 * 1024  # bytes
LONGEST_NAME = 1000  # leaves room for `#part-n`
IGNORED = frozenset({"node_modules", "__pycache__", "venv"})  # beside everything that begins with a dot


@dataclass(frozen=True, slots=True)
class Found:
    """A file to ingest: where it is, and its name in memory."""

    path: Path
    name: str
    size: int
    mtime_ns: int


@dataclass(slots=True)
class Plan:
    """What a walk found: files to take, in order, and those that it cannot take, with the reason."""

    files: list[Found] = field(default_factory=list)
    broken: list[tuple[str, str]] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)


def plan(roots: Sequence[Path], *, include: Sequence[str] = (), exclude: Sequence[str] = ()) -> Plan:
    """Walk files and folders in the order of their names.

    A file's name is its path from the parent of the root that it was found under, with forward slashes: stable, so
    that ingesting again makes a new version of the same document. Globs match that name or its last part.
    """
    made = Plan()
    taken: dict[str, Path] = {}
    for root in (_place(root) for root in roots):
        for path in _walk(root, made, set()):
            name = _name(path.relative_to(root.parent))
            if (include and not _matches(name, include)) or _matches(name, exclude):
                continue
            _take(made, taken, path, name)
    return made


def _take(made: Plan, taken: dict[str, Path], path: Path, name: str) -> None:
    try:
        status = path.stat()
    except OSError as error:
        made.broken.append((name, error.strerror or "unreadable"))
        return
    if not stat.S_ISREG(status.st_mode):
        made.skipped.append((name, "not a regular file"))
    elif status.st_size > LARGEST:
        made.skipped.append((name, f"{status.st_size >> 20} MB; at most {LARGEST >> 20} MB are taken"))
    elif len(name) > LONGEST_NAME:
        made.broken.append((name, f"its name has more than {LONGEST_NAME} characters"))
    elif name in taken:
        if taken[name].resolve() != path.resolve():
            reason = f"{taken[name]} and {path} would have the same name; give a folder above both"
            made.broken.append((name, reason))
    else:
        taken[name] = path
        made.files.append(Found(path, name, status.st_size, status.st_mtime_ns))


def _name(path: Path) -> str:
    """The path as every machine would write it: bytes that are no UTF-8 replaced, accents composed."""
    return unicodedata.normalize("NFC", os.fsencode(path.as_posix()).decode("utf-8", "replace"))


def _place(root: Path) -> Path:
    """Absolute and without `..`, but with the name as given: a link is called what it is called."""
    root = root.expanduser()
    return root.parent.resolve() / root.name if root.name not in ("", "..") else root.resolve()


def _walk(path: Path, made: Plan, above: set[tuple[int, int]]) -> Iterator[Path]:
    """Files below a path; `above` holds the folders that it stands in, so that a loop of links ends."""
    try:
        if not path.is_dir():
            yield path
            return
        status = path.stat()
        entries = sorted(path.iterdir(), key=lambda entry: entry.name)
    except OSError as error:
        made.broken.append((str(path), error.strerror or "unreadable"))
        return
    if (status.st_dev, status.st_ino) in above:
        return
    for entry in entries:
        if not entry.name.startswith(".") and entry.name not in IGNORED:
            yield from _walk(entry, made, above | {(status.st_dev, status.st_ino)})


def _matches(name: str, globs: Sequence[str]) -> bool:
    return any(fnmatchcase(name, glob) or fnmatchcase(name.rpartition("/")[2], glob) for glob in globs)
