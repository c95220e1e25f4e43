"""Fold: rows to segments, one writer of a project at a time, and no name before its file is complete."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np

from ltmc_jobs.private_files import make_private
from ltmc_jobs.stores.contracts import Scope
from ltmc_jobs.stores.faiss_index import manifest, plan
from ltmc_jobs.stores.faiss_index.manifest import SegmentNote
from ltmc_jobs.stores.faiss_index.plan import Sizes, Step
from ltmc_jobs.stores.faiss_index.segment import Draft, Segment
from ltmc_jobs.stores.faiss_index.shelf import Shelf
from ltmc_jobs.stores.faiss_index.tail import normalised
from ltmc_jobs.stores.snapshot_file import writer


class Fold:
    """What writes, over what reads."""

    def __init__(self, shelf: Shelf, lock: threading.Lock, sizes: Sizes) -> None:
        self._shelf, self._lock, self._sizes = shelf, lock, sizes

    def next_step(self, project: str, *, build: bool) -> Step | None:
        """What is to be written now: what is quick, or with `build` what takes long."""
        with self._lock:
            loaded = self._shelf.refresh(project)
            if build and not loaded.is_damaged:
                return plan.build_step(loaded, self._sizes, lambda segment: self._living_share(project, segment))
            return plan.fold_step(loaded, self._sizes) if plan.is_due(loaded, self._sizes) else None

    def write(self, project: str, *, build: bool) -> None:
        """Take one step after the other until nothing is due; OSError or RuntimeError where it cannot be written."""
        if self.next_step(project, build=build) is None:
            return
        directory = self._shelf.directory_of(project)
        make_private(directory)
        is_written = True
        while is_written:
            with writer(directory) as alone:
                # Read again under the lock: another process may have written before this one got it.
                step = self.next_step(project, build=build) if alone else None
                is_written = step is not None and self._take(step, project, directory)
            if is_written and build:
                self.write(project, build=False)

    def _take(self, step: Step, project: str, directory: Path) -> bool:
        made, seq = self._drafted(step, project, directory)
        if (model := self._shelf.records.vector_model()) is None:
            return False
        notes = [segment.note for segment in step.kept]
        notes += [made] if made is not None else []
        notes += [segment.note for segment in step.after]
        noted = manifest.write(directory, project, model, notes, seq=max(seq, *(note.seq for note in notes), 0))
        self._shelf.records.note_snapshot(noted)
        # Whoever has older files mapped keeps their pages; whoever is about to open them will find the newer.
        kept = {manifest.name_of(noted), "writer.lock"} | {
            path.name for note in notes for path, _ in note.files(directory)
        }
        for old in directory.iterdir():
            if old.name not in kept:
                old.unlink(missing_ok=True)
        return True

    def _drafted(self, step: Step, project: str, directory: Path) -> tuple[SegmentNote | None, int]:
        """The written segment, if any row is left of it, and the last row that was looked at."""
        draft = step.onto.loaded(directory) if step.onto else Draft(step.kind, self._shelf.dimension, step.since)
        before = draft.rows
        with self._lock:
            newest = self._shelf.refresh(project).seq  # no row that is read from here on lies below a missing one
        upto = newest if step.upto is None else step.upto
        for page in self._shelf.pages(project, step.since):
            rows = [row for row in page if row.seq <= upto]
            if step.most is not None:
                rows = rows[: step.most - (draft.rows - before)]
            if rows:
                vectors = normalised(np.stack([row.vector for row in rows]))
                draft.add(vectors, np.array([row.chunk_id for row in rows], np.int64), seq=rows[-1].seq)
            if len(rows) < len(page):
                break
        is_full = step.most is not None and draft.rows - before >= step.most
        draft.seq = draft.seq if is_full else upto
        return (draft.write(directory) if draft.rows else None), draft.seq

    def _living_share(self, project: str, segment: Segment) -> float:
        sampled = segment.sample(plan.SAMPLED)
        return len(self._shelf.records.searchable(sampled, scope=Scope(project))) / max(1, len(sampled))
