"""Resources: stored documents, jobs, and what tools files declare; listed, read and completed through the queue."""

from __future__ import annotations

import json
from typing import Any

import mcp_types as types

from api.mcp.asking import Asking, Context
from api.mcp.offered import Offered
from ltmc_jobs import offers
from ltmc_jobs.errors import LtmcError, NotFound
from ltmc_jobs.offers import Resource
from ltmc_jobs.tools.catalogue import mime_type_of

PAGE = 50
DOCUMENT = "ltmc://resource/"
JOB = "ltmc://job/"
JOB_TEMPLATE = JOB + "{job_id}"
JSON = "application/json"
LIST_TTL_MS = 60_000  # of what is declared; documents change with the next store, so nobody keeps their list

Contents = types.TextResourceContents | types.BlobResourceContents


class Resources:
    """resources/list, resources/templates/list and resources/read."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking
        self._offered = Offered(asking)

    async def list_resources(
        self, ctx: Context, params: types.PaginatedRequestParams | None
    ) -> types.ListResourcesResult:
        """The project's documents, newest first, a page at a time; before them what was declared without variables."""
        cursor = params.cursor if params else None
        arguments = {"limit": PAGE} | ({"cursor": cursor} if cursor else {})
        try:
            page = await self._asking.result(ctx, "list_documents", arguments)
        except LtmcError as error:
            raise self._asking.refusal(ctx, error) from None
        fixed = [_listed(found) for found in offers.resources() if not found.is_template and cursor is None]
        documents = [_document(entry) for entry in page["documents"]]
        return types.ListResourcesResult(resources=[*fixed, *documents], next_cursor=page["cursor"])

    async def list_resource_templates(
        self, _ctx: Context, _params: types.PaginatedRequestParams | None
    ) -> types.ListResourceTemplatesResult:
        """Documents by id and by name, jobs, and what was declared with variables."""
        declared = [
            types.ResourceTemplate(
                uri_template=found.uri,
                name=found.tool,
                title=_title(found.tool),
                description=offers.form_of(found.tool).description,
                mime_type=found.mime_type,
            )
            for found in offers.resources()
            if found.is_template
        ]
        job = types.ResourceTemplate(
            uri_template=JOB_TEMPLATE,
            name="job",
            title="Job",
            description="A job by its id: status, times, progress, result or error.",
            mime_type=JSON,
        )
        return types.ListResourceTemplatesResult(
            resource_templates=[*declared, job], ttl_ms=LIST_TTL_MS, cache_scope="public"
        )

    async def read_resource(
        self, ctx: Context, params: types.ReadResourceRequestParams
    ) -> types.ReadResourceResult | types.InputRequiredResult:
        """What stands at a URI: a job's state is asked of the queue, all else is a job that reads it."""
        uri = params.uri
        try:
            if uri.startswith(JOB):
                info = await self._asking.client_of().job(self._asking.session(ctx), uri.removeprefix(JOB))
                return _read([types.TextResourceContents(uri=uri, mime_type=JSON, text=_json(info.as_dict()))])
            found = offers.resource_at(uri)
            if found is None:
                raise NotFound("there is no such resource")
            resource, arguments = found
            offers.form_of(resource.tool).accept(arguments)
            result = await self._offered.result(ctx, resource.tool, arguments, params)
            if isinstance(result, types.InputRequiredResult):
                return result
            return _read([_contents(uri, resource, result)])
        except LtmcError as error:
            raise self._asking.refusal(ctx, _absent(error), uri=uri) from None


def _absent(error: LtmcError) -> LtmcError:
    """A URI that says nonsense to its function names nothing."""
    return NotFound(str(error)) if error.code == "invalid_arguments" else error


def _listed(resource: Resource) -> types.Resource:
    return types.Resource(
        uri=resource.uri,
        name=resource.tool,
        title=_title(resource.tool),
        description=offers.form_of(resource.tool).description,
        mime_type=resource.mime_type,
    )


def _document(entry: dict[str, Any]) -> types.Resource:
    return types.Resource(
        uri=f"{DOCUMENT}{entry['resource_id']}",
        name=entry["file_name"],
        description=f"{entry['resource_type']}, version {entry['version']}, {entry['characters']:,} characters",
        mime_type=mime_type_of(entry["file_name"]),
        annotations=types.Annotations(last_modified=entry["updated_at"]),
    )


def _contents(uri: str, resource: Resource, result: dict[str, Any]) -> Contents:
    """A text, ResourceContents, or any other result as JSON."""
    if set(result) == {"text", "blob", "mime_type"}:
        mime_type = result["mime_type"] or resource.mime_type
        if result["blob"] is not None:
            return types.BlobResourceContents(uri=uri, mime_type=mime_type, blob=result["blob"])
        return types.TextResourceContents(uri=uri, mime_type=mime_type, text=result["text"] or "")
    if set(result) == {"result"} and isinstance(result["result"], str):
        return types.TextResourceContents(uri=uri, mime_type=resource.mime_type, text=result["result"])
    return types.TextResourceContents(uri=uri, mime_type=JSON, text=_json(result))


def _read(contents: list[Contents]) -> types.ReadResourceResult:
    return types.ReadResourceResult(contents=contents)


def _title(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=1)
