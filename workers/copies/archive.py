"""The archive of a backup: a ZIP of parts, and last a manifest with their lengths and SHA-256 and what was counted.

It is written under a hidden name beside its own, for its owner alone, and gets its name when it is complete.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from ltmc_jobs.errors import Conflict, LtmcError, NotFound

FORMAT = 1
MANIFEST = "manifest.json"
MANIFEST_BYTES = 16 << 20
BLOCK = 1 << 20
# What reading raises, beside a ZIP's own errors, where a name, a number or a flag was changed.
UNREADABLE = (LookupError, TypeError, ValueError, AttributeError, NotImplementedError, RuntimeError)

Tick = Callable[[int, int], None]  # bytes done, of how many


class Draft:
    """An archive in the making; `finish` or `discard` ends it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._unfinished = path.with_name(f".{path.name}.{os.getpid()}")
        self._parts: dict[str, dict[str, Any]] = {}
        try:
            descriptor = os.open(self._unfinished, os.O_CREAT | os.O_TRUNC | os.O_RDWR, 0o600)
        except OSError as error:
            raise LtmcError(f"{path.parent} cannot be written to: {error.strerror}") from None
        self._file = os.fdopen(descriptor, "w+b")
        # The fastest level: texts shrink to a third, vectors hardly with any.
        self._zip = zipfile.ZipFile(self._file, "w", zipfile.ZIP_DEFLATED, compresslevel=1)

    def add(self, name: str, source: Path, tick: Tick) -> None:
        """Add a file under this name."""
        total = source.stat().st_size
        digest, done = hashlib.sha256(), 0
        with source.open("rb") as file, self._zip.open(_info(name), "w", force_zip64=True) as member:
            while block := file.read(BLOCK):
                digest.update(block)
                member.write(block)
                done += len(block)
                tick(done, total)
        self._parts[name] = {"bytes": done, "sha256": digest.hexdigest()}

    def finish(self, manifest: dict[str, Any]) -> int:
        """Add the manifest, bring all to the disk and give it its name: its length in bytes, or Conflict."""
        whole = {"format": FORMAT, **manifest, "parts": self._parts}
        with self._zip.open(_info(MANIFEST), "w") as member:
            member.write(json.dumps(whole, ensure_ascii=False, indent=1).encode())
        self._zip.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        if self.path.exists():
            self.discard()
            raise Conflict(f"{self.path} is there already")
        self._unfinished.rename(self.path)
        directory = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
        return self.path.stat().st_size

    def discard(self) -> None:
        """Leave nothing behind."""
        if not self._file.closed:
            self._zip.close()
            self._file.close()
        self._unfinished.unlink(missing_ok=True)


class Archive:
    """A finished archive: what its manifest says, and its parts. Conflict where it is not one, or not whole."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_file():
            raise NotFound(f"there is no file {path}")
        if not os.access(path, os.R_OK):
            raise LtmcError(f"{path} may not be read")
        with self._meant():
            self._zip = zipfile.ZipFile(path)
        try:
            self.manifest = self._read_manifest()
        except BaseException:
            self._zip.close()
            raise

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    @property
    def parts(self) -> dict[str, dict[str, Any]]:
        """The parts by name: `{bytes, sha256}`."""
        found: dict[str, dict[str, Any]] = self.manifest["parts"]
        return found

    @property
    def total_bytes(self) -> int:
        """Of all parts, unpacked."""
        return sum(int(part["bytes"]) for part in self.parts.values())

    def unpack(self, name: str, target: Path, tick: Tick) -> None:
        """Write a part to a file that is not there yet, owner-only; Conflict unless it is what the manifest says."""
        descriptor = os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            self._copy(name, file, tick)
            file.flush()
            os.fsync(file.fileno())

    def _copy(self, name: str, target: IO[bytes], tick: Tick) -> None:
        told = self.parts[name]
        digest, done = hashlib.sha256(), 0
        for block in self._blocks(name):
            digest.update(block)
            target.write(block)
            done += len(block)
            if done > told["bytes"]:
                break
            tick(done, told["bytes"])
        if (done, digest.hexdigest()) != (told["bytes"], told["sha256"]):
            raise self._damaged(f"{name} is not what it was")

    def _blocks(self, name: str) -> Iterator[bytes]:
        with self._meant(), self._zip.open(name) as member:
            while block := member.read(BLOCK):
                yield block

    @contextmanager
    def _meant(self) -> Iterator[None]:
        """What the reading of a ZIP raises where bytes of it were changed, in our words."""
        try:
            yield
        except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, *UNREADABLE) as error:
            raise self._damaged(str(error)) from None

    def _read_manifest(self) -> dict[str, Any]:
        with self._meant():
            if self._zip.getinfo(MANIFEST).file_size > MANIFEST_BYTES:
                raise self._damaged("its manifest is too long")
            manifest = json.loads(self._zip.read(MANIFEST))
            parts = {name: (int(part["bytes"]), str(part["sha256"])) for name, part in manifest["parts"].items()}
        if manifest.get("format") != FORMAT:
            raise Conflict(f"{self.path} has format {manifest.get('format')}, this program reads {FORMAT}")
        if sorted(self._zip.namelist()) != sorted([MANIFEST, *parts]):
            raise self._damaged("it holds other parts than its manifest names")
        return dict(manifest)

    def _damaged(self, why: str) -> Conflict:
        return Conflict(f"{self.path} is damaged, or no backup: {why}")


def _info(name: str) -> zipfile.ZipInfo:
    made = zipfile.ZipInfo(name, time.gmtime()[:6])
    made.compress_type = zipfile.ZIP_DEFLATED
    made.external_attr = 0o600 << 16
    return made
