"""Forget, export and import."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from ltmc_jobs.registry import Queue, Tier, tool
from ltmc_jobs.results.transfer import ExportedMemory, ForgottenMemory, ImportedMemory

if TYPE_CHECKING:
    from ltmc_jobs.services import Services

Kind = Literal["document", "message", "todo", "pattern", "link"]
FileName = Annotated[str | None, Field(min_length=1, max_length=1024, description="The document of this name")]
Conversation = Annotated[str | None, Field(min_length=1, max_length=256, description="What belongs to it")]
ResourceType = Annotated[str | None, Field(min_length=1, max_length=64, description="Documents of this type")]


@tool(
    queue=Queue.DEFAULT,
    tiers=(Tier.SQLITE, Tier.REDIS, Tier.FAISS, Tier.NEO4J),
    changes=("memory", "chats", "graph", "code_patterns"),
    timeout_seconds=1800,
    destructive=True,
    idempotent=True,
)
def forget_memory(
    services: Services,
    file_name: FileName = None,
    conversation_id: Conversation = None,
    resource_type: ResourceType = None,
) -> ForgottenMemory:
    """Remove documents for good: all versions, passages, vectors, links and cached answers; tells what was removed.

    What is given must all fit. A conversation_id alone also removes the messages of that conversation.
    """
    return services.passage.forget(file_name=file_name, conversation_id=conversation_id, resource_type=resource_type)


@tool(queue=Queue.LOW, tiers=(Tier.SQLITE, Tier.NEO4J), result_ttl_seconds=300)
def export_memory(
    services: Services,
    kinds: Annotated[
        list[Kind] | None, Field(min_length=1, max_length=5, description="Only records of these kinds")
    ] = None,
    file_name: FileName = None,
    conversation_id: Conversation = None,
    resource_type: ResourceType = None,
    with_versions: Annotated[bool, Field(description="With each document, when its versions were stored")] = False,
    cursor: Annotated[str | None, Field(max_length=64, description="A page's next_cursor; the rest as before")] = None,
    limit: Annotated[int, Field(ge=1, le=1000, description="How many records at most")] = 100,
) -> ExportedMemory:
    """Read the project's memory out as records, a page at a time: documents, messages, todos, code patterns, links."""
    return services.passage.export(
        kinds,
        file_name=file_name,
        conversation_id=conversation_id,
        resource_type=resource_type,
        cursor=cursor,
        limit=limit,
        with_versions=with_versions,
    )


@tool(
    queue=Queue.LOW,
    tiers=(Tier.SQLITE, Tier.FAISS, Tier.NEO4J),
    changes=("memory", "chats", "todos", "graph", "code_patterns"),
    follows=("searchable", "linked"),
    timeout_seconds=1800,
    idempotent=True,
)
def import_memory(
    services: Services,
    records: Annotated[
        list[Any], Field(min_length=1, max_length=1000, description="Records as export_memory gives them")
    ],
    first_line: Annotated[int, Field(ge=1, description="The line of the first one, for what is refused")] = 1,
) -> ImportedMemory:
    """Take records in; those that are there change nothing, and one that cannot be taken stops no other."""
    return services.passage.take_in(records, first_line=first_line)
