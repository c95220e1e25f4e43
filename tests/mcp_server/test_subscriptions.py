"""Subscriptions: a client hears that a document or a job is not as it was, on both wires, and of nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from uuid import uuid4

import mcp_types as types
import pytest
from mcp import Client as McpClient
from mcp.server.subscriptions import ResourcesListChanged, ResourceUpdated

from api.mcp.server import build
from ltmc_jobs.client import Client
from ltmc_jobs.queues.contract import Principal
from ltmc_jobs.settings import Settings
from tests.mcp_server.test_resources import store

SECONDS = 10


def named() -> str:
    """A document that no other test has."""
    return f"{uuid4().hex[:8]}.md"


async def test_the_new_wire_tells_of_documents_and_of_their_list(client: Client, served: Settings) -> None:
    name, other = named(), named()
    async with McpClient(build(lambda: client, served, principal=Principal("stdio"))) as host:
        resource_id = await store(host, "default", name, "One.")
        await store(host, "default", other, "Another.")
        uris = [f"ltmc://resource/{resource_id}", f"ltmc://document/{name}"]
        async with (
            asyncio.timeout(SECONDS),
            host.listen(resource_subscriptions=uris) as documents,
            host.listen(resources_list_changed=True) as listing,
        ):
            await store(host, "default", other, "Another one.")
            assert isinstance(await anext(aiter(listing)), ResourcesListChanged)
            await store(host, "default", name, "Two.")
            heard = {(await anext(aiter(documents))) for _ in uris}
            assert heard == {ResourceUpdated(uri=uri) for uri in uris}


async def test_the_new_wire_tells_of_a_job_s_end(client: Client, served: Settings) -> None:
    async with McpClient(build(lambda: client, served, principal=Principal("stdio"))) as host:
        handle = await host.call_tool("dawdle", {"seconds": 0.5}, meta={"ltmc/wait": 0})
        uri = f"ltmc://job/{handle.structured_content['job_id']}"
        async with asyncio.timeout(SECONDS), host.listen(resource_subscriptions=[uri]) as events:
            while True:
                assert await anext(aiter(events)) == ResourceUpdated(uri=uri)
                found = (await host.read_resource(uri)).contents[0]
                if isinstance(found, types.TextResourceContents) and '"finished"' in found.text:
                    break


@pytest.mark.filterwarnings("ignore:resources/(un)?subscribe is removed")
@pytest.mark.parametrize("over", ["connection", "http"])
async def test_the_old_wire_tells_on_its_connection_or_its_stream(
    client: Client,
    served: Settings,
    over_http: str,
    over: str,
) -> None:
    """Over HTTP the session's GET stream; what is unsubscribed is told no more."""
    heard: asyncio.Queue[str] = asyncio.Queue()

    async def hear(message: object) -> None:
        if isinstance(message, types.ResourceUpdatedNotification):
            heard.put_nowait(message.params.uri)

    server = build(lambda: client, served, principal=Principal("stdio")) if over == "connection" else f"{over_http}/mcp"
    name = named()
    async with asyncio.timeout(2 * SECONDS), McpClient(server, mode="legacy", message_handler=hear) as host:
        resource_id = await store(host, "default", name, "One.")
        handle = await host.call_tool("dawdle", {"seconds": 0.5}, meta={"ltmc/wait": 0})
        job = f"ltmc://job/{handle.structured_content['job_id']}"
        document = f"ltmc://resource/{resource_id}"
        for uri in (document, job, f"ltmc://document/{name}"):
            await host.subscribe_resource(uri)
        await host.unsubscribe_resource(f"ltmc://document/{name}")
        await store(host, "default", name, "Two.")
        assert {await heard.get(), await heard.get()} == {document, job}
        await asyncio.sleep(0.5)
        assert heard.empty()


async def test_nobody_hears_of_another_project(
    client: Client, served: Settings, make_settings: Callable[..., Settings]
) -> None:
    async with McpClient(build(lambda: client, served, principal=Principal("stdio"))) as host:
        resource_id = await store(host, "elsewhere", "theirs.md", "One.")
        async with host.listen(resource_subscriptions=[f"ltmc://resource/{resource_id}"]) as events:
            await store(host, "elsewhere", "theirs.md", "Two.")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(aiter(events)), 1)
