"""Files into memory: read, cut into parts that one job carries, sent, and followed until they are searchable."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from api import extractors
from api.ingest_plan import Found, Plan
from api.manifest import Entry, Manifest
from ltmc_jobs.answer import Answer
from ltmc_jobs.client import Client
from ltmc_jobs.errors import LtmcError, NotFound, Unavailable
from ltmc_jobs.handling import Handling
from ltmc_jobs.queues.contract import new_job_id
from ltmc_jobs.session import Session

BEHIND = 4  # so many times the jobs in flight may wait to become searchable, and no more is sent meanwhile
PART_BYTES = 6 * 1024 * 1024  # as JSON; a job carries at most 8 MB
PART_CHARACTERS = 2_000_000
SAFE_CHARACTERS = 500_000  # of any kind fit into PART_BYTES
WAIT_SECONDS = 20.0
PATIENCE_WAITS = 3  # waits without any worker until we give up

Say = Callable[[str, str], None]  # (what happened, document)


@dataclass(slots=True)
class Report:
    """What became of the files. `unchanged` were searchable before."""

    stored: list[str] = field(default_factory=list)
    searchable: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    broken: list[tuple[str, str]] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


class Ingest:
    """One run over a plan. `say` hears `stored`, `searchable`, `unchanged`, `broken` or `skipped` for each file."""

    def __init__(
        self, client: Client, session: Session, manifest: Manifest, *, force: bool, concurrency: int, say: Say
    ) -> None:
        self._client = client
        self._session = session
        self._manifest = manifest
        self._force = force
        self._sending = asyncio.Semaphore(concurrency)
        self._files_at_once = concurrency * BEHIND
        self._say = say
        self.report = Report()

    async def run(self, plan: Plan) -> Report:
        """Send every file of the plan that is new or changed; returns when all are searchable, or have failed."""
        self.report.broken.extend(plan.broken)
        self.report.skipped.extend(plan.skipped)
        waiting = iter(plan.files)
        async with asyncio.TaskGroup() as group:
            for _ in range(min(self._files_at_once, len(plan.files))):
                group.create_task(self._take_from(waiting))
        return self.report

    async def _take_from(self, files: Iterator[Found]) -> None:
        for found in files:
            try:
                await self._ingest(found)
            except extractors.Binary as error:
                self._note(self.report.skipped, "skipped", found.name, str(error))
            except extractors.Unreadable as error:
                self._note(self.report.broken, "broken", found.name, str(error))
            except OSError as error:
                self._note(self.report.broken, "broken", found.name, error.strerror or str(error))
            except Unavailable:
                raise  # the platform is away: no other file will fare better
            except LtmcError as error:
                self._manifest.note_state(found.name, "failed")
                self._note(self.report.broken, "broken", found.name, f"{error.code}: {error}")

    def _note(self, where: list[tuple[str, str]], event: str, name: str, reason: str) -> None:
        where.append((name, reason))
        self._say(event, name)

    async def _ingest(self, found: Found) -> None:
        kept = None if self._force else self._manifest.find(found.name)
        if kept and kept.state == "searchable" and (kept.size, kept.mtime_ns) == (found.size, found.mtime_ns):
            return self._unchanged(found)
        async with self._sending:
            data = await asyncio.to_thread(found.path.read_bytes)
            sha256 = hashlib.sha256(data).hexdigest()
            if kept and kept.state == "searchable" and kept.sha256 == sha256:
                self._manifest.note_touched(found)
                return self._unchanged(found)
            text = await asyncio.to_thread(extractors.extract, found.name, data)
            following = await self._store(found, sha256, list(parts(text)), kept)
        self._manifest.note_state(found.name, "stored")
        self.report.stored.append(found.name)
        self._say("stored", found.name)
        for job_id in following:
            await self._searchable(found.name, job_id)
        self._manifest.note_state(found.name, "searchable")
        self.report.searchable.append(found.name)
        self._say("searchable", found.name)
        return None

    def _unchanged(self, found: Found) -> None:
        self.report.unchanged.append(found.name)
        self._say("unchanged", found.name)

    async def _store(self, found: Found, sha256: str, texts: list[str], kept: Entry | None) -> list[str]:
        """Store the parts, one after the other; the ids of the jobs that make them searchable."""
        job_ids = job_ids_for(kept, sha256, len(texts))
        if kept and len(kept.job_ids) > len(texts):
            names = ", ".join(part_name(found.name, number) for number in range(len(texts), len(kept.job_ids)))
            self.report.warnings.append(f"{found.name} has become shorter; of its old text remain: {names}")
        self._manifest.note_sent(found, sha256, job_ids)
        following = []
        for number, (text, job_id) in enumerate(zip(texts, job_ids, strict=True)):
            arguments = {
                "file_name": part_name(found.name, number),
                "content": text,
                "resource_type": extractors.resource_type(found.name),
            }
            answer = await self._client.call(
                "store_memory", arguments, self._session, wait_seconds=WAIT_SECONDS, handling=Handling(job_id=job_id)
            )
            result = (await self._ended(answer, job_id)).result or {}
            following += [result["jobs"]["searchable"]] if "searchable" in result.get("jobs", {}) else []
        return following

    async def _searchable(self, name: str, job_id: str) -> None:
        try:
            await self._ended(await self._client.result(self._session, job_id, WAIT_SECONDS), job_id)
        except NotFound:
            # Its record is kept for an hour after its end, and failures for a day: it ended well, long ago.
            return
        except Unavailable:
            raise
        except LtmcError as error:
            raise type(error)(f"{name} is stored, but not yet searchable by meaning: {error}") from None

    async def _ended(self, answer: Answer, job_id: str) -> Answer:
        """Wait for a job's end, however long it takes while there is a worker for it."""
        waits = 0
        while answer.is_handle:
            info = await self._client.job(self._session, job_id)
            reason = await self._client.no_worker_reason(info.queue)
            waits = waits + 1 if reason else 0
            if waits > PATIENCE_WAITS:
                raise Unavailable(f"{reason}; what was sent is kept, so run the same command again")
            answer = await self._client.result(self._session, job_id, WAIT_SECONDS)
        return answer


def job_ids_for(kept: Entry | None, sha256: str, count: int) -> tuple[str, ...]:
    """The ids to send under: those of an interrupted run over the same content, else new ones."""
    if kept and kept.state in ("sent", "stored") and kept.sha256 == sha256 and len(kept.job_ids) == count:
        return kept.job_ids
    return tuple(new_job_id() for _ in range(count))


def part_name(name: str, number: int) -> str:
    """`name` for the first part, then `name#part-2`, …"""
    return name if number == 0 else f"{name}#part-{number + 1}"


def parts(text: str) -> Iterator[str]:
    """The text whole if one job can carry it, else in parts that end with a paragraph, a line or a word."""
    fits = len(text) <= PART_CHARACTERS and (text.isascii() or len(json.dumps(text)) <= PART_BYTES)
    longest = PART_CHARACTERS if fits else SAFE_CHARACTERS
    start = 0
    while len(text) - start > longest:
        window = text[start : start + longest]
        cuts = (window.rfind(mark) + len(mark) for mark in ("\n\n", "\n", " ") if window.rfind(mark) > longest // 2)
        end = start + next(cuts, longest)
        yield text[start:end]
        start = end
    yield text[start:]
