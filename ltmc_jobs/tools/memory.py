"""Remember and recall."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, Required

from pydantic import ConfigDict, Field
from typing_extensions import TypedDict

from ltmc_jobs.errors import InvalidArguments
from ltmc_jobs.moments import Moment
from ltmc_jobs.registry import Cache, Queue, Tier, tool
from ltmc_jobs.results.memory import RetrievalWeights, RetrievedMemory, StoredMemory

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
Content = Annotated[str, Field(max_length=4_000_000, description="The text to remember")]
ResourceType = Annotated[
    str, Field(min_length=1, max_length=64, description="document, note, code, dialogue, … (any name)")
]
Conversation = Annotated[str | None, Field(min_length=1, max_length=256, description="The conversation it belongs to")]
Speaker = Annotated[str | None, Field(min_length=1, max_length=256, description="Who said or wrote it")]
Happened = Annotated[Moment | None, Field(description="When it happened, or was said")]
Position = Annotated[
    int | None, Field(ge=0, le=2**53, description="Its place in the conversation; default: behind what is there")
]
ResourceTypes = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=64)]] | None,
    Field(min_length=1, max_length=20, description="Only documents of these types"),
]


class NewDocument(TypedDict, total=False):
    """A document to store, one of many."""

    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]

    file_name: Required[FileName]
    content: Required[Content]
    resource_type: ResourceType
    conversation_id: Conversation
    speaker: Speaker
    occurred_at: Happened
    position: Position


@tool(
    queue=Queue.DEFAULT,
    tiers=(Tier.SQLITE, Tier.FAISS, Tier.NEO4J),
    changes=("memory",),
    follows=("searchable", "linked"),
    awaits="searchable",
    idempotent=True,
    instead={"documents": ("file_name", "content")},
)
def store_memory(
    services: Services,
    file_name: FileName | None = None,
    content: Content | None = None,
    resource_type: ResourceType = "document",
    conversation_id: Conversation = None,
    speaker: Speaker = None,
    occurred_at: Happened = None,
    position: Position = None,
    documents: Annotated[
        list[NewDocument] | None,
        Field(min_length=1, max_length=1000, description="Many at once, in place of the fields above, in one job"),
    ] = None,
) -> StoredMemory:
    """Store a document so that it can be found again by meaning and by words; the same name again is a new version.

    For a conversation, store each turn under a name of its own with conversation_id, speaker and occurred_at.
    """
    common: dict[str, Any] = {
        "resource_type": resource_type,
        "conversation_id": conversation_id,
        "speaker": speaker,
        "occurred_at": occurred_at,
        "position": position,
    }
    if documents is None:
        return services.memory.store([common | {"file_name": file_name, "content": content}])
    return services.memory.store([common | dict(document) for document in documents])


@tool(
    queue=Queue.DEFAULT,
    tiers=(Tier.SQLITE, Tier.FAISS, Tier.NEO4J),
    cache=Cache(topics=("memory", "weights", "graph"), unless=("log_query",)),
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
    resource_types: ResourceTypes = None,
    after: Annotated[Moment | None, Field(description="Only what happened, or was stored, then or later")] = None,
    before: Annotated[Moment | None, Field(description="Only what happened, or was stored, before then")] = None,
    match: Annotated[
        Literal["both", "meaning", "words"], Field(description="Which signals to search by; both finds most")
    ] = "both",
    explain: Annotated[bool, Field(description="Show what each score is made of")] = False,
    log_query: Annotated[
        bool, Field(description="With a conversation_id: keep the query as a message there, linked to what it found")
    ] = False,
) -> RetrievedMemory:
    """Find the stored passages that answer a query best, by meaning and by words; each says where it is from."""
    if scope == "conversation" and conversation_id is None:
        raise InvalidArguments("scope 'conversation' needs a conversation_id", field="conversation_id")
    found = services.memory.retrieve(
        query,
        scope=services.memory.scope(
            conversation_id=conversation_id if scope == "conversation" else None,
            resource_types=tuple(resource_types or ()),
            after=after,
            before=before,
        ),
        top_k=top_k,
        match=match,
        explain=explain,
    )
    if conversation_id is not None and log_query:
        services.memory.log(conversation_id, query, found)
    return found


@tool(queue=Queue.HIGH, tiers=(Tier.SQLITE,), cache=Cache(topics=("weights",)))
def get_retrieval_weights(services: Services) -> RetrievalWeights:
    """Tell how much each signal of a search counts, by kind of memory."""
    return services.memory.told_weights()


@tool(queue=Queue.HIGH, tiers=(Tier.SQLITE,), changes=("weights",), idempotent=True)
def set_retrieval_weights(
    services: Services,
    kind: Annotated[Literal["dialogue", "document", "code"], Field(description="The kind of memory")],
    meaning: Annotated[float | None, Field(ge=0, le=1, description="None of all three: the built-in weights")] = None,
    words: Annotated[float | None, Field(ge=0, le=1)] = None,
    neighbours: Annotated[
        float | None, Field(ge=0, le=1, description="What the next passage counts, of what one counts itself")
    ] = None,
) -> RetrievalWeights:
    """Set how much each signal of a search counts in this project; without any, the built-in weights count again."""
    services.memory.set_weights(kind, meaning, words, neighbours)
    return services.memory.told_weights()
