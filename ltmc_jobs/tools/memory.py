"""Remember and recall."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from ltmc_jobs.registry import Cache, Queue, Tier, tool
from ltmc_jobs.results.memory import RetrievedMemory, StoredMemory

if TYPE_CHECKING:
    from ltmc_jobs.services import Services

FileName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=1024,
        pattern=r"^[^\x00-\x1f\x7f]+$",
        description="A name for the document, unique in its project; no control characters",
    ),
]
Conversation = Annotated[str | None, Field(min_length=1, max_length=256, description="The conversation it belongs to")]


@tool(
    queue=Queue.DEFAULT,
    tiers=(Tier.SQLITE, Tier.FAISS, Tier.NEO4J),
    changes=("memory",),
    follows=("searchable", "linked"),
    awaits="searchable",
    idempotent=True,
)
def store_memory(
    services: Services,
    file_name: FileName,
    content: Annotated[str, Field(max_length=4_000_000, description="The text to remember")],
    resource_type: Annotated[
        str, Field(min_length=1, max_length=64, description="document, code, note, …")
    ] = "document",
    conversation_id: Conversation = None,
) -> StoredMemory:
    """Store a document so that it can be found again by meaning; the same name again makes a new version."""
    return services.memory.store(file_name, content, resource_type=resource_type, conversation_id=conversation_id)


@tool(
    queue=Queue.DEFAULT,
    tiers=(Tier.SQLITE, Tier.FAISS, Tier.NEO4J),
    cache=Cache(topics=("memory",)),
    result_ttl_seconds=300,  # long, asked for often, and as good when asked for again
)
def retrieve_memory(
    services: Services,
    query: Annotated[str, Field(min_length=1, max_length=8192, description="What to look for, in your own words")],
    top_k: Annotated[int, Field(ge=1, le=100, description="How many passages at most")] = 10,
    conversation_id: Conversation = None,
    scope: Annotated[
        Literal["project", "conversation"],
        Field(description="conversation: only documents stored with this conversation_id"),
    ] = "project",
) -> RetrievedMemory:
    """Find the stored passages that are nearest in meaning to a query."""
    return services.memory.retrieve(query, top_k=top_k, conversation_id=conversation_id, scope=scope)
