"""The way in: cut a document, record it in one transaction, and name the jobs that make it searchable and linked."""

from __future__ import annotations

from collections.abc import Sequence

from ltmc_jobs.jobs import EMBED_TEXTS, INDEX_VERSION, LINK_VERSION
from ltmc_jobs.memory.chunking import split
from ltmc_jobs.queues.contract import JobSpec, Principal, following_job_id
from ltmc_jobs.stores.contracts import Chunk, ChunkText, Records, Version

BATCH_CHUNKS = 64  # texts that travel in one embedding job


def record(
    records: Records,
    *,
    project: str,
    file_name: str,
    content: str,
    resource_type: str,
    conversation_id: str | None,
    job_id: str,
) -> tuple[Version, Sequence[Chunk | ChunkText]]:
    """Record a new version; its words can be found from here on. With it come its chunks, in order."""
    document = {
        "project": project,
        "file_name": file_name,
        "resource_type": resource_type,
        "content": content,
        "job_id": job_id,
    }
    # Looked up first: cutting a large text takes seconds, and a sync sends most of them unchanged.
    version = records.recorded(**document, conversation_id=conversation_id)
    if version is None:
        chunks = split(content, kind=resource_type)
        version = records.record(**document, chunks=chunks, conversation_id=conversation_id)
        if version.created:
            return version, chunks
    return version, records.version_chunks(version.resource_id, version.version)


def following(
    version: Version,
    chunks: Sequence[Chunk | ChunkText],
    *,
    model: str,
    principal: Principal,
    trace_id: str,
) -> dict[str, list[JobSpec]]:
    """What remains to be done for a version: `searchable` (embedding jobs, then indexing) and `linked`.

    Ids depend on the version alone, so that enqueuing again changes nothing.
    """

    def spec_id(name: str) -> str:
        # One job may record several documents.
        return following_job_id(version.job_id, f"{version.file_name}:{name}")

    common = {"project": version.project, "principal": principal, "trace_id": trace_id}
    embeddings = [
        JobSpec(
            kind=EMBED_TEXTS,
            args={"texts": [chunk.content for chunk in chunks[at : at + BATCH_CHUNKS]], "model": model},
            id=spec_id(f"embedding:{at}"),
            **common,  # type: ignore[arg-type]
        )
        for at in range(0, len(chunks), BATCH_CHUNKS)
    ]
    which = {"resource_id": version.resource_id, "version": version.version}
    embedding_ids = tuple(spec.id for spec in embeddings)
    index = JobSpec(
        kind=INDEX_VERSION,
        args={**which, "embeddings": list(embedding_ids)},
        id=spec_id("searchable"),
        depends_on=embedding_ids,
        **common,  # type: ignore[arg-type]
    )
    link = JobSpec(
        kind=LINK_VERSION,
        args=which,
        id=spec_id("linked"),
        depends_on=(index.id,),
        **common,  # type: ignore[arg-type]
    )
    if version.state == "linked":
        return {}
    return (
        {"linked": [link]} if version.state == "searchable" else {"searchable": [*embeddings, index], "linked": [link]}
    )
