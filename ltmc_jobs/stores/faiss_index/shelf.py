"""Shelf: what this process holds of each project's index, brought up to the newest file and row."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ltmc_jobs.errors import InvalidArguments, ModelMismatch
from ltmc_jobs.settings import PROJECT_PATTERN
from ltmc_jobs.stores.contracts import Records, Snapshot, VectorRow
from ltmc_jobs.stores.faiss_index import manifest
from ltmc_jobs.stores.faiss_index.loaded import Loaded
from ltmc_jobs.stores.faiss_index.manifest import SegmentNote
from ltmc_jobs.stores.faiss_index.segment import Segment
from ltmc_jobs.stores.faiss_index.tail import Tail

PAGE_ROWS = 4096  # vectors read at once: 6 MB at 384 dimensions


class Shelf:
    """The loaded indexes of one process. Its owner sees to it that one thread at a time is in here."""

    def __init__(self, directory: Path, records: Records, model: str, dimension: int) -> None:
        self.records, self.dimension = records, dimension
        self._directory, self._model = directory.absolute(), model
        self._loaded: dict[str, Loaded] = {}

    def directory_of(self, project: str) -> Path:
        """Where a project's files are; InvalidArguments if its name could lead elsewhere."""
        if not PROJECT_PATTERN.fullmatch(project):
            raise InvalidArguments(f"{project!r} is not the name of a project")
        return self._directory / project

    def is_known_bad(self, noted: Snapshot) -> bool:
        """Whether these very files were found damaged."""
        loaded = self._loaded.get(noted.project)
        return loaded is not None and loaded.is_damaged and self._is_current(loaded, noted)

    def clear(self) -> None:
        """Let go of everything."""
        self._loaded.clear()

    def _noted(self, project: str) -> Snapshot | None:
        return self.records.snapshots(project=project).get(project)

    def _is_current(self, loaded: Loaded, noted: Snapshot | None) -> bool:
        """Whether this is what the records name, and its files are those that were looked at."""
        if loaded.noted is None or noted is None:
            return loaded.noted == noted
        names = [segment.note for segment in loaded.segments]
        directory = self.directory_of(noted.project)
        return (loaded.noted, loaded.signatures) == (noted, manifest.signatures(directory, noted, names))

    def refresh(self, project: str) -> Loaded:
        """What this process holds of a project, brought up to the newest file and row."""
        noted = self._noted(project)
        loaded = self._loaded.get(project)
        if loaded is None or not self._is_current(loaded, noted):
            self._check_rows_fit()
            loaded = self._open(noted, loaded)
            # Newer files may have replaced these just now; reading every row instead would be right, but slow.
            if loaded.is_damaged and self._noted(project) != noted:
                return self.refresh(project)
        self.extend(project, loaded)
        # Kept only when its rows are read too: half a tail would be believed for ever.
        self._loaded[project] = loaded
        return loaded

    def _open(self, noted: Snapshot | None, before: Loaded | None) -> Loaded:
        """The mapped files, as far as they are whole and of the model of the rows; those open before stay open."""
        opened = Loaded(noted, (), [], True, Tail(self.dimension), 0)
        if noted is None:
            return opened
        directory = self.directory_of(noted.project)
        of_the_rows = self.records.vector_model() in (None, (noted.model, noted.dimension))
        notes = manifest.read(directory, noted) if of_the_rows else None
        kept = self._unchanged(before) if before else {}
        # Read before the files: whatever changes from here on will be seen as a change.
        opened.signatures = manifest.signatures(directory, noted, notes or ())
        for note in notes or ():
            segment = kept.get(note) or Segment.open(directory, note, self.dimension)
            if segment is None:
                break
            opened.segments.append(segment)
        opened.is_whole = notes is not None and len(opened.segments) == len(notes)
        if not opened.is_whole:
            names = [segment.note for segment in opened.segments]
            opened.signatures = manifest.signatures(directory, noted, names)
        held = opened.segments[-1].note.seq if opened.segments else 0
        opened.seq = noted.seq if opened.is_whole else held
        return opened

    def _unchanged(self, loaded: Loaded) -> dict[SegmentNote, Segment]:
        """The open segments whose files are still those that were opened: a large one is not read again for a small."""
        if loaded.noted is None:
            return {}
        directory = self.directory_of(loaded.noted.project)
        now = manifest.signatures(directory, loaded.noted, [segment.note for segment in loaded.segments])
        then = loaded.signatures
        # Behind the manifest's own, each segment has two.
        return {
            segment.note: segment
            for n, segment in enumerate(loaded.segments)
            if now[2 * n + 1 : 2 * n + 3] == then[2 * n + 1 : 2 * n + 3]
        }

    def extend(self, project: str, loaded: Loaded) -> bool:
        """Add the rows that came since; true if there were any."""
        before = loaded.seq
        for rows in self.pages(project, before):
            loaded.tail.add(rows)
            loaded.seq = rows[-1].seq
        return loaded.seq != before

    def pages(self, project: str, seq: int) -> Iterator[list[VectorRow]]:
        """The rows above `seq`, some at a time."""
        while rows := self.records.vectors_after(seq, project=project, limit=PAGE_ROWS):
            # Every time: the first rows may come, of another model, after this reader has opened an empty index.
            self._check_rows_fit()
            yield rows
            if len(rows) < PAGE_ROWS:
                return
            seq = rows[-1].seq

    def _check_rows_fit(self) -> None:
        stored = self.records.vector_model()
        if stored not in (None, (self._model, self.dimension)):
            raise ModelMismatch(
                f"The stored vectors are {stored[0]} with {stored[1]} numbers, the model in use is {self._model} with "
                f"{self.dimension}: set EMBEDDING_MODEL back to {stored[0]}, or embed all of it anew: ltmc reindex"
            )
