"""Which files an ingest takes, and what each is called in memory."""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from collections import deque
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
    places = [_place(root) for root in roots]
    within = tuple(Path(os.path.realpath(root)) for root in places)
    for root in places:
        for path in _Walk(made, within, root).files():
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
    """The path as every machine would write it: accents composed; control characters and what is no UTF-8 replaced."""
    text = unicodedata.normalize("NFC", os.fsencode(path.as_posix()).decode("utf-8", "replace"))
    return re.sub(r"[\x00-\x1f\x7f-\x9f]", "\ufffd", text)


def _place(root: Path) -> Path:
    """Absolute and without `..`, but with the name as given: a link is called what it is called."""
    root = root.expanduser()
    return root.parent.resolve() / root.name if root.name not in ("", "..") else root.resolve()


class _Walk:
    """One root's files. A link is followed only inside the roots given, and no folder is walked twice."""

    def __init__(self, made: Plan, within: tuple[Path, ...], root: Path) -> None:
        self._made = made
        self._within = within
        self._root = root
        self._walked: set[tuple[int, int]] = set()
        self._links: deque[Path] = deque()  # folders: after the rest, so that a file has its own name where it has one

    def files(self) -> Iterator[Path]:
        """Regular files or not, in the order of their names."""
        yield from self._below(self._root)
        while self._links:
            yield from self._below(self._links.popleft())

    def _below(self, path: Path) -> Iterator[Path]:
        try:
            if not path.is_dir():
                yield path
                return
            status = path.stat()
            entries = sorted(path.iterdir(), key=lambda entry: entry.name)
        except OSError as error:
            self._made.broken.append((self._named(path), error.strerror or "unreadable"))
            return
        if (status.st_dev, status.st_ino) in self._walked:
            return
        self._walked.add((status.st_dev, status.st_ino))
        for entry in entries:
            if not entry.name.startswith(".") and entry.name not in IGNORED:
                yield from self._entry(entry)

    def _entry(self, entry: Path) -> Iterator[Path]:
        if not entry.is_symlink():
            yield from self._below(entry)
        elif not self._is_inside(entry):
            self._made.skipped.append((self._named(entry), "a link that leads outside"))
        elif entry.is_dir():
            self._links.append(entry)
        else:
            yield entry

    def _named(self, path: Path) -> str:
        return _name(path.relative_to(self._root.parent))

    def _is_inside(self, link: Path) -> bool:
        target = Path(os.path.realpath(link))
        return any(target.is_relative_to(root) for root in self._within)


def _matches(name: str, globs: Sequence[str]) -> bool:
    return any(fnmatchcase(name, glob) or fnmatchcase(name.rpartition("/")[2], glob) for glob in globs)
