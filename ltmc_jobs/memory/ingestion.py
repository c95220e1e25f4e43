"""The way in: cut documents, record them, and name the jobs that make them searchable and linked."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from datetime import datetime

from ltmc_jobs.jobs import EMBED_TEXTS, INDEX_VERSIONS, LINK_VERSIONS
from ltmc_jobs.memory.chunking import split
from ltmc_jobs.memory.kinds import Kind, kind_of
from ltmc_jobs.queues.contract import JobSpec, Principal, following_job_id
from ltmc_jobs.stores.contracts import Chunk, ChunkText, Document, Records, Version, digest_of

BATCH_CHUNKS = 64  # texts that travel in one embedding job

Recorded = tuple[Version, Sequence[Chunk | ChunkText]]


def record(records: Records, document: Document, *, job_id: str) -> Recorded:
    """Record a new version; its words can be found from here on. With it come its chunks, in order."""
    # Looked up first: cutting a large text takes seconds, and a sync sends most of them unchanged.
    version = records.recorded(document, job_id=job_id)
    if version is None:
        chunks = cut(document)
        version = records.record(document, chunks, job_id=job_id)
        if version.created:
            return version, chunks
    return version, records.version_chunks(version.resource_id, version.version)


def cut(document: Document) -> list[ChunkText]:
    """A document's chunks, each with the header that says when and by whom."""
    is_turn = document.conversation_id is not None
    kind = kind_of(document.resource_type, is_part=is_turn)
    # A single turn of a conversation may itself be long prose.
    chunks = split(document.content, kind="document" if kind is Kind.DIALOGUE and is_turn else kind.value)
    said = header(document)
    return [ChunkText(chunk.content, chunk.start, chunk.end, said) for chunk in chunks] if said else chunks


def header(document: Document) -> str:
    """When it happened and who said it, in words that questions use; empty where neither is known."""
    parts = []
    if document.occurred_at:
        when = datetime.fromisoformat(document.occurred_at)
        parts.append(f"{when.day} {when:%B %Y}")
    if document.speaker and not document.content.startswith(document.speaker):
        parts.append(document.speaker)
    return f"{', '.join(parts)}: " if parts else ""


def following(
    recorded: Sequence[Recorded],
    *,
    model: str,
    principal: Principal,
    trace_id: str,
    known: Container[str] = frozenset(),
) -> dict[str, list[JobSpec]]:
    """What remains to be done for versions: `searchable` (embedding jobs, then indexing) and `linked`.

    Small documents share jobs. Each indexing job waits for the one before, so that the last of a list ends it. Ids
    depend on the versions alone, so that enqueuing again changes nothing. Texts whose digests are `known` have vectors.
    """
    searchable: list[JobSpec] = []
    linked: list[JobSpec] = []
    before: tuple[str, ...] = ()
    for group in _groups([one for one in recorded if one[0].state == "recorded"]):
        jobs = _Jobs(group, principal, trace_id)
        embeddings = jobs.embeddings(model, known)
        index = jobs.index([spec.id for spec in embeddings], before)
        searchable += [*embeddings, index]
        linked.append(jobs.link(index.id, *(spec.id for spec in linked[-1:])))
        before = (index.id,)
    for group in _groups([one for one in recorded if one[0].state == "searchable"]):
        linked.append(_Jobs(group, principal, trace_id).link())
    return ({"searchable": searchable} if searchable else {}) | ({"linked": linked} if linked else {})


def _groups(recorded: Sequence[Recorded]) -> Iterator[list[Recorded]]:
    """Versions of one project that are embedded, indexed and linked together."""
    group: list[Recorded] = []
    held = 0
    for version, chunks in recorded:
        if group and (held + len(chunks) > BATCH_CHUNKS or group[0][0].project != version.project):
            yield group
            group, held = [], 0
        group.append((version, chunks))
        held += max(1, len(chunks))
    if group:
        yield group


class _Jobs:
    """The jobs of one group."""

    def __init__(self, group: list[Recorded], principal: Principal, trace_id: str) -> None:
        self._group = group
        first = group[0][0]
        # One job may record several documents.
        self._name = first.file_name if len(group) == 1 else f"{first.file_name}+{len(group) - 1}"
        self._parent = first.job_id
        self._common = {"project": first.project, "principal": principal, "trace_id": trace_id}

    def embeddings(self, model: str, known: Container[str]) -> list[JobSpec]:
        distinct = dict.fromkeys(chunk.text for _, chunks in self._group for chunk in chunks)
        texts = [text for text in distinct if digest_of(text) not in known]
        return [
            JobSpec(
                kind=EMBED_TEXTS,
                args={"texts": texts[at : at + BATCH_CHUNKS], "model": model},
                id=self._id(f"embedding:{at}"),
                **self._common,  # type: ignore[arg-type]
            )
            for at in range(0, len(texts), BATCH_CHUNKS)
        ]

    def index(self, embeddings: list[str], before: tuple[str, ...]) -> JobSpec:
        versions = [[version.resource_id, version.version, len(chunks)] for version, chunks in self._group]
        return JobSpec(
            kind=INDEX_VERSIONS,
            args={"versions": versions, "embeddings": embeddings},
            id=self._id("searchable"),
            depends_on=(*embeddings, *before),
            **self._common,  # type: ignore[arg-type]
        )

    def link(self, *after: str) -> JobSpec:
        return JobSpec(
            kind=LINK_VERSIONS,
            args={"versions": [[version.resource_id, version.version] for version, _ in self._group]},
            id=self._id("linked"),
            depends_on=after,
            **self._common,  # type: ignore[arg-type]
        )

    def _id(self, name: str) -> str:
        return following_job_id(self._parent, f"{self._name}:{name}")
