"""Resources as a host meets them: real documents and jobs, read through the queue, in both eras."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import mcp_types as types
import pytest
from mcp import Client as McpClient
from mcp import MCPError

from ltmc_jobs.client import Client
from ltmc_jobs.session import Session

PROJECT = "ltmc/project"


@pytest.fixture
def project() -> str:
    """A project of the test's own."""
    return f"p-{uuid4().hex[:8]}"


async def store(host: McpClient, project: str, name: str, content: str, **more: Any) -> int:
    """The id of a document that is stored now."""
    note = {"file_name": name, "content": content, "wait_for": "recorded", **more}
    stored = await host.call_tool("store_memory", note, meta={PROJECT: project})
    return int(stored.structured_content["resource_id"])


async def read(host: McpClient, uri: str, project: str) -> types.TextResourceContents:
    """The text that stands at a URI."""
    (found,) = (await host.read_resource(uri, meta={PROJECT: project})).contents
    assert isinstance(found, types.TextResourceContents)
    assert found.uri == uri
    return found


async def test_a_document_is_read_whole_by_id_and_by_name(host: McpClient, project: str, client: Client) -> None:
    """And that was a job like any other."""
    text = "# Übersicht\n\n" + "A line.\r\n" * 2000
    resource_id = await store(host, project, "notes/a b.md", "older")
    assert await store(host, project, "notes/a b.md", text) == resource_id
    for uri in (f"ltmc://resource/{resource_id}", "ltmc://document/notes%2Fa%20b.md", "ltmc://document/notes/a b.md"):
        found = await read(host, uri, project)
        assert (found.text, found.mime_type) == (text, "text/markdown")
    jobs = (await client.jobs(Session(project)))["jobs"]
    assert [job["name"] for job in jobs[:3]] == ["read_document", "read_document", "read_resource"]


async def test_documents_are_listed_newest_first_a_page_at_a_time(host: McpClient, project: str) -> None:
    ids = [await store(host, project, f"{number}.txt", f"Number {number}.") for number in range(53)]
    await store(host, project, "0.txt", "Number 0, again.")
    found = await pages(host, project)
    assert [len(page.resources) for page in found] == [50, 3]
    listed = [resource for page in found for resource in page.resources]
    assert [resource.uri for resource in listed] == [f"ltmc://resource/{n}" for n in [ids[0], *ids[:0:-1]]]
    assert (listed[0].name, listed[0].mime_type) == ("0.txt", "text/plain")
    assert listed[0].description == "document, version 2, 16 characters"
    assert (await read(host, listed[1].uri, project)).text == "Number 52."


async def pages(host: McpClient, project: str) -> list[types.ListResourcesResult]:
    """All pages of resources/list."""
    found = [await host.list_resources(meta={PROJECT: project})]
    while found[-1].next_cursor:
        found.append(await host.list_resources(cursor=found[-1].next_cursor, meta={PROJECT: project}))
    return found


async def test_a_job_is_a_resource(host: McpClient, project: str) -> None:
    """`ltmc://job/<id>`: what job_status says, its result included."""
    said = await host.call_tool("say", {"text": "x"}, meta={PROJECT: project})
    job_id = said.structured_content["job_id"]
    found = await read(host, f"ltmc://job/{job_id}", project)
    job = json.loads(found.text)
    assert (found.mime_type, job["status"], job["result"]["text"]) == ("application/json", "finished", "x")


async def test_another_project_s_documents_and_jobs_are_not_there(host: McpClient, project: str) -> None:
    resource_id = await store(host, project, "mine.md", "Mine.")
    job_id = (await host.call_tool("say", {"text": "x"}, meta={PROJECT: project})).structured_content["job_id"]
    names = [f"resource/{resource_id}", "document/mine.md", f"job/{job_id}"]
    assert [await refused(host, f"ltmc://{name}", "elsewhere") for name in names] == ["not_found"] * 3
    assert (await host.list_resources(meta={PROJECT: "elsewhere"})).resources == []


@pytest.mark.parametrize(
    "uri",
    [
        "ltmc://resource/99999999",
        "ltmc://resource/one",
        "ltmc://resource/0",
        "ltmc://resource/" + "9" * 40,
        "ltmc://resource/",
        "ltmc://document/%00",
        "ltmc://job/none",
        "ltmc://elsewhere/1",
        "file:///etc/passwd",
        "",
    ],
)
async def test_what_is_not_there_is_named(host: McpClient, uri: str) -> None:
    assert await refused(host, uri, "default") == "not_found"


async def refused(host: McpClient, uri: str, project: str) -> str:
    """The code of the error that names this URI, with the number that its era has for it."""
    with pytest.raises(MCPError) as raised:
        await host.read_resource(uri, meta={PROJECT: project})
    error = raised.value
    assert error.code == (types.INVALID_PARAMS if host.protocol_version >= "2026" else -32002)
    assert error.data["uri"] == uri
    return str(error.data["code"])


async def test_a_page_that_was_never_given_is_refused(host: McpClient) -> None:
    for cursor in ("2", "[1,2]", "nonsense", '["a"]'):
        with pytest.raises(MCPError) as raised:
            await host.list_resources(cursor=cursor)
        assert (raised.value.code, raised.value.data["details"]) == (types.INVALID_PARAMS, {"field": "cursor"})


async def test_templates_are_told_and_may_be_kept(host: McpClient) -> None:
    found = await host.list_resource_templates()
    uris = [template.uri_template for template in found.resource_templates]
    assert uris == ["ltmc://resource/{resource_id}", "ltmc://document/{file_name}", "ltmc://job/{job_id}"]
    assert all(template.description and template.mime_type for template in found.resource_templates)
    if host.protocol_version >= "2026":
        assert (found.ttl_ms, found.cache_scope) == (60_000, "public")
