"""What can be read and named: documents as resources, the lists and completions behind MCP's. None is a listed tool."""

from __future__ import annotations

import mimetypes
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ltmc_jobs.errors import NotFound
from ltmc_jobs.offers import resource
from ltmc_jobs.registry import Queue, Tier, tool
from ltmc_jobs.results.catalogue import Document, DocumentMarks, DocumentPage, Names
from ltmc_jobs.results.content import ResourceContents

if TYPE_CHECKING:
    from ltmc_jobs.services import Services

SHORT_SECONDS = 60  # how long the result of a look is kept: the next look is a new one
TYPED_LIMIT = 1024
MARKED_LIMIT = 500

Typed = Annotated[str, Field(max_length=TYPED_LIMIT, description="What was typed so far")]
Limit = Annotated[int, Field(ge=1, le=500, description="How many at most")]


@resource(
    "ltmc://resource/{resource_id}",
    mime_type="text/plain",
    completes={"resource_id": "resource_ids"},
    tiers=(Tier.SQLITE,),
)
def read_resource(services: Services, resource_id: Annotated[int, Field(ge=1)]) -> ResourceContents:
    """A stored document by its id: the whole text, as it was stored last."""
    return _contents(services.tiers.catalogue.document(services.current.project, resource_id), resource_id)


@resource(
    "ltmc://document/{file_name}",
    mime_type="text/plain",
    completes={"file_name": "document_names"},
    tiers=(Tier.SQLITE,),
)
def read_document(services: Services, file_name: Annotated[str, Field(max_length=1024)]) -> ResourceContents:
    """A stored document by its name: the whole text, as it was stored last."""
    return _contents(services.tiers.catalogue.document_named(services.current.project, file_name), file_name)


@tool(queue=Queue.HIGH, tiers=(Tier.SQLITE,), is_shown=False, idempotent=True, result_ttl_seconds=SHORT_SECONDS)
def list_documents(
    services: Services,
    limit: Limit = 50,
    cursor: Annotated[str | None, Field(max_length=256, description="Where the page before this one ended")] = None,
) -> DocumentPage:
    """The documents of the project, newest first, a page at a time."""
    return services.tiers.catalogue.documents(services.current.project, limit=limit, cursor=cursor)


@tool(queue=Queue.HIGH, tiers=(Tier.SQLITE,), is_shown=False, idempotent=True, result_ttl_seconds=SHORT_SECONDS)
def document_marks(
    services: Services,
    resource_ids: Annotated[list[int], Field(max_length=MARKED_LIMIT)],
    file_names: Annotated[list[str], Field(max_length=MARKED_LIMIT)],
) -> DocumentMarks:
    """What changes with each change of these documents, for who watches them."""
    return services.tiers.catalogue.marks(services.current.project, resource_ids, file_names)


@tool(queue=Queue.HIGH, tiers=(Tier.SQLITE,), is_shown=False, idempotent=True, result_ttl_seconds=SHORT_SECONDS)
def document_names(services: Services, typed: Typed = "", limit: Limit = 100) -> Names:
    """Names of documents that have what was typed."""
    return services.tiers.catalogue.document_names(services.current.project, typed, limit=limit)


@tool(queue=Queue.HIGH, tiers=(Tier.SQLITE,), is_shown=False, idempotent=True, result_ttl_seconds=SHORT_SECONDS)
def resource_ids(services: Services, typed: Typed = "", limit: Limit = 100) -> Names:
    """Ids of documents that begin with what was typed."""
    return services.tiers.catalogue.resource_ids(services.current.project, typed, limit=limit)


@tool(queue=Queue.HIGH, tiers=(Tier.SQLITE,), is_shown=False, idempotent=True, result_ttl_seconds=SHORT_SECONDS)
def conversation_ids(services: Services, typed: Typed = "", limit: Limit = 100) -> Names:
    """Conversations whose id has what was typed."""
    return services.tiers.catalogue.conversation_ids(services.current.project, typed, limit=limit)


@tool(queue=Queue.HIGH, tiers=(Tier.SQLITE,), is_shown=False, idempotent=True, result_ttl_seconds=SHORT_SECONDS)
def agent_names(services: Services, typed: Typed = "", limit: Limit = 100) -> Names:
    """Agents whose name has what was typed: those at work now first, then those that spoke."""
    project = services.current.project
    spoke = services.tiers.catalogue.agent_names(project, typed, limit=limit)
    own = services.current.principal.agent_id
    here = [name for name in services.shared.agents.heard_lately(project) if typed.lower() in name.lower()]
    new = [name for name in here if name not in spoke.names and name != own]
    return Names([*new, *spoke.names][:limit], spoke.total + len(new))


def _contents(found: Document | None, asked: object) -> ResourceContents:
    if found is None:
        raise NotFound(f"there is no document {asked} in this project")
    return ResourceContents(text=found.content, mime_type=mime_type_of(found.file_name))


def mime_type_of(file_name: str) -> str:
    """By the name's ending; plain text where that says nothing of a text."""
    guessed = mimetypes.guess_type(file_name)[0] or ""
    is_text = guessed.startswith("text/") or guessed.endswith(("json", "xml", "yaml", "javascript", "x-sh"))
    return guessed if is_text else "text/plain"
