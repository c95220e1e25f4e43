"""Link things, follow links, and let documents be linked to their like."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, NotRequired

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict

from ltmc_jobs.errors import InvalidArguments
from ltmc_jobs.registry import Cache, Queue, Tier, tool
from ltmc_jobs.results.graph import LinkedDocuments, LinkedResources, Relationships

if TYPE_CHECKING:
    from ltmc_jobs.services import Services

# By the mean vectors of passages of three long texts: from 0.6 on, 88 % of them are linked, none to another text's, and
# from 0.8 on 12 %. Passages of different texts lie below 0.37, all but one in a hundred.
LIKE = 0.6

Name = Annotated[str, Field(min_length=1, max_length=1024, pattern=r"^[^\x00-\x1f\x7f]+$")]
Number = Annotated[int, Field(ge=1, le=2**53)]
Thing = Annotated[
    Name | Number,
    Field(description="A document by its file name or resource id, chunk:<id>, message:<id>, or any name of your own"),
]
Document = Annotated[Name | Number, Field(description="A document by its file name or resource id")]
Relation = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")]
Filter = Annotated[
    Relation | Annotated[list[Relation], Field(min_length=1, max_length=50)] | None,
    Field(description="Only links of this relation, or of these; upper case, hyphens and underscores are all one"),
]
Limit = Annotated[int, Field(ge=1, le=1000, description="How many links at most")]
Ways = Annotated[Literal["in", "out", "both"], Field(description="Follow links out of it, into it, or both")]
WithChunks = Annotated[bool, Field(description="Also show the chunks that documents are cut into (HAS_CHUNK)")]


@with_config(ConfigDict(extra="ignore"))
class GivenDocument(TypedDict):
    """A document: the text itself, or the id of one that is stored."""

    id: Annotated[Name | Number, Field(description="Its name in the graph; of a stored one: file name or resource id")]
    content: NotRequired[Annotated[str, Field(max_length=4_000_000)]]
    type: NotRequired[Annotated[str, Field(max_length=64)] | None]
    created_at: NotRequired[Annotated[str, Field(max_length=64)] | None]


@tool(
    queue=Queue.DEFAULT,
    tiers=(Tier.SQLITE, Tier.NEO4J),
    changes=("graph",),
    aliases={"relationship_type": "relation"},
    idempotent=True,
)
def link_resources(
    services: Services,
    source_id: Thing,
    target_id: Thing,
    relation: Annotated[Relation, Field(description="How the one relates to the other, in your words: depends on")],
    strength: Annotated[float | None, Field(ge=0, le=1, description="How strongly, from 0 to 1")] = None,
) -> LinkedResources:
    """Link two documents or any named things in the knowledge graph; what is not there yet is made."""
    return services.relations.link(source_id, target_id, relation, strength)


@tool(
    queue=Queue.DEFAULT,
    tiers=(Tier.SQLITE, Tier.NEO4J),
    cache=Cache(topics=("graph", "memory", "references")),
    result_ttl_seconds=300,
    aliases={"query": "entity", "relationship_types": "relation_type", "max_depth": "depth"},
)
def query_graph(
    services: Services,
    entity: Thing,
    relation_type: Filter = None,
    direction: Ways = "both",
    depth: Annotated[int, Field(ge=1, le=5, description="How many links away at most")] = 1,
    limit: Limit = 100,
    include_chunks: WithChunks = False,
) -> Relationships:
    """Find what is linked to a document or a named thing, nearest first, each link with the path to it."""
    return services.relations.around(
        entity,
        relations=_listed(relation_type),
        direction=direction,
        depth=depth,
        limit=limit,
        include_chunks=include_chunks,
    )


@tool(
    queue=Queue.LOW,
    tiers=(Tier.SQLITE, Tier.FAISS, Tier.NEO4J),
    changes=("graph",),
    timeout_seconds=900,
    aliases={"document_ids": "document_id"},
    idempotent=True,
)
def auto_link_documents(
    services: Services,
    documents: Annotated[
        list[GivenDocument] | None,
        Field(max_length=10_000, description="Documents as texts {id, content, type, created_at}, or stored ones {id}"),
    ] = None,
    document_id: Annotated[
        Name | Number | Annotated[list[Name | Number], Field(max_length=10_000)] | None,
        Field(description="A stored document, or a list of them, by file name or resource id"),
    ] = None,
    similarity_threshold: Annotated[
        float, Field(ge=0, le=1, description="Link documents whose cosine is at least this; 0.6 suits prose")
    ] = LIKE,
) -> LinkedDocuments:
    """Link documents to those, given or stored, that mean nearly the same (SIMILAR_TO), and to what their texts name.

    Two are linked if each is among the five nearest of the other. What their texts name outright (MENTIONS) are other
    documents, addresses, files, @people, #tags, issues and `identifiers`.
    """
    names = document_id if isinstance(document_id, list) else [] if document_id is None else [document_id]
    if not documents and not names:
        raise InvalidArguments("give documents, or the document_id of one or of several", field="documents")
    return services.kinship.link(documents or [], names, similarity_threshold)


@tool(
    queue=Queue.DEFAULT,
    tiers=(Tier.SQLITE, Tier.NEO4J),
    cache=Cache(topics=("graph", "memory", "references")),
    result_ttl_seconds=300,
    aliases={"document_id": "doc_id", "depth": "max_depth"},
    also_named=("get_document_relationships_tool",),
)
def get_document_relationships(
    services: Services,
    doc_id: Document,
    max_depth: Annotated[int, Field(ge=1, le=5, description="How many links away at most")] = 2,
    relation_type: Filter = None,
    direction: Ways = "both",
    limit: Limit = 100,
    include_chunks: WithChunks = False,
) -> Relationships:
    """Show what a document is linked to, nearest first, each link with the path from the document to it."""
    return services.relations.around_document(
        doc_id,
        relations=_listed(relation_type),
        direction=direction,
        depth=max_depth,
        limit=limit,
        include_chunks=include_chunks,
    )


def _listed(relations: str | list[str] | None) -> list[str] | None:
    return [relations] if isinstance(relations, str) else relations
