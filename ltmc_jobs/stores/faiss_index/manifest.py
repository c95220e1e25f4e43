"""Manifest: the segments that make a project's index, each with what tells that its files are whole.

The records note the manifest's own length and checksum, so that trust goes from the records to every byte.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from ltmc_jobs.stores.contracts import Snapshot
from ltmc_jobs.stores.snapshot_file import Signature, checksum, signature_of, write_whole

Kind = Literal["flat", "graph"]
Print = tuple[int, int]  # length and CRC-32 of a file


@dataclass(frozen=True, slots=True)
class SegmentNote:
    """A segment as its manifest has it: the rows above `since`, up to `seq`."""

    kind: Kind
    since: int
    seq: int
    rows: int
    vectors: Print
    chunks: Print

    @property
    def vectors_name(self) -> str:
        return f"{self.kind}-{self.since}-{self.seq}-{self.rows}.faiss"

    @property
    def chunks_name(self) -> str:
        return f"{self.kind}-{self.since}-{self.seq}-{self.rows}.npy"

    def files(self, directory: Path) -> tuple[tuple[Path, Print], ...]:
        """Its files, with what they must be."""
        return (directory / self.vectors_name, self.vectors), (directory / self.chunks_name, self.chunks)


def name_of(snapshot: Snapshot) -> str:
    """The name of a snapshot's manifest."""
    return f"{snapshot.seq}.json"


def read(directory: Path, noted: Snapshot) -> tuple[SegmentNote, ...] | None:
    """The segments of a snapshot, oldest first; None without a manifest that is what the records say."""
    path = directory / name_of(noted)
    try:
        if checksum(path) != (noted.size_bytes, noted.crc32):
            return None
        found = json.loads(path.read_text())
        return tuple(SegmentNote(**{**one, **{of: tuple(one[of]) for of in ("vectors", "chunks")}}) for one in found)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def write(
    directory: Path, project: str, model: tuple[str, int], segments: Sequence[SegmentNote], *, seq: int
) -> Snapshot:
    """Write the manifest of these segments, which hold the rows up to `seq`; what the records are to note."""
    path = directory / f"{seq}.json"
    with write_whole(path) as unfinished:
        unfinished.write_text(json.dumps([asdict(segment) for segment in segments]))
    return Snapshot(project, seq, *model, sum(segment.rows for segment in segments), *checksum(path))


def signatures(directory: Path, noted: Snapshot, segments: Sequence[SegmentNote]) -> tuple[Signature | None, ...]:
    """What tells these files from others of their names."""
    paths = [directory / name_of(noted), *(path for segment in segments for path, _ in segment.files(directory))]
    return tuple(signature_of(path) for path in paths)


def is_there(directory: Path, noted: Snapshot) -> bool:
    """Whether every file of a snapshot is there, in its length; a checksum takes too long for a probe."""
    segments = read(directory, noted)
    if segments is None:
        return False
    expected = [wanted for segment in segments for wanted in segment.files(directory)]
    return all((found := signature_of(path)) is not None and found[1] == size for path, (size, _) in expected)
