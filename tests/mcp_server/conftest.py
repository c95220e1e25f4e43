"""A worker process that serves a few odd tools, and hosts that call them."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from importlib import import_module
from typing import Any

import mcp_types as types
import pytest
import uvicorn
from fastapi import FastAPI
from mcp import Client as McpClient

from api.mcp.http import mount
from api.mcp.server import build
from api.security import Guard
from ltmc_jobs import registry
from ltmc_jobs.client import Client
from ltmc_jobs.queues.contract import Principal
from ltmc_jobs.queues.envelope import Keyring
from ltmc_jobs.settings import Settings
from ltmc_jobs.shared import Shared
from tests.conftest import build_settings, clean_environment, free_port, wait_until
from workers.server import EmbeddedServer

ERAS = ["legacy", "auto"]
WORKER = """
import tests.mcp_server.odd_tools
from ltmc_jobs.registry import Queue
from ltmc_jobs.settings import Settings
from workers.pools import Pool
from workers.worker import work
work(Settings.load(), Pool("default", (Queue.HIGH, Queue.DEFAULT), 1))
"""


@pytest.fixture(scope="module", autouse=True)
def _tools() -> Iterator[None]:
    """The odd tools, known to these tests alone."""
    kept = [(table, dict(table)) for table in (registry._callables, registry._kinds, registry._paths)]
    import_module("tests.mcp_server.odd_tools")
    yield
    for table, before in kept:
        table.clear()
        table.update(before)  # type: ignore[arg-type]
    sys.modules.pop("tests.mcp_server.odd_tools", None)


@pytest.fixture(scope="module")
def served(redis_server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Settings whose queue a worker process serves."""
    home = tmp_path_factory.mktemp("mcp")
    redis_url = redis_server.settings.redis_address()
    variables = {"REDIS_URL": redis_url, "LTMC_WAIT": 10}
    settings = build_settings(home, **variables)
    Keyring.make(settings)
    shared = Shared.open(settings)
    shared.redis.flushall()
    shared.installation.register()
    worker = subprocess.Popen([sys.executable, "-c", WORKER], env=clean_environment(home, **variables))
    try:
        wait_until(lambda: shared.heartbeats.live(["default"])["default"], 30, "a worker")
        yield settings
    finally:
        worker.terminate()
        worker.wait(10)
        shared.close()


@pytest.fixture
async def client(served: Settings) -> AsyncIterator[Client]:
    shared = Shared.open(served)
    yield Client(shared)
    await shared.aclose()


@pytest.fixture(params=ERAS)
async def host(request: pytest.FixtureRequest, client: Client, served: Settings) -> AsyncIterator[McpClient]:
    """A host on the old wire, and one on the new."""
    server = build(lambda: client, served, principal=Principal("stdio"))
    connected: asyncio.Future[McpClient] = asyncio.get_running_loop().create_future()
    over = asyncio.Event()

    async def hold() -> None:  # a host is left in the task that entered it, which a fixture's end is not
        async with McpClient(server, mode=request.param) as entered:
            connected.set_result(entered)
            await over.wait()

    holding = asyncio.create_task(hold())
    yield await asyncio.wait_for(connected, 10)
    over.set()
    await holding


@pytest.fixture
async def over_http(client: Client, served: Settings) -> AsyncIterator[str]:
    """The server as the app mounts it, behind the guard, at a real port; its base address."""
    mounted = mount(lambda: client, served)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with mounted.running():
            yield

    app = FastAPI(lifespan=lifespan)
    app.router.routes.extend(mounted.routes)
    port = free_port()
    config = uvicorn.Config(Guard(app, served), port=port, log_level="warning", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve())
    await asyncio.to_thread(wait_until, lambda: server.started)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    await running


def text_of(result: types.CallToolResult) -> str:
    return "\n".join(part.text for part in result.content if isinstance(part, types.TextContent))


def error_of(result: types.CallToolResult) -> dict[str, Any]:
    assert result.is_error
    error: dict[str, Any] = result.structured_content["error"]
    return error


@pytest.fixture
def end_front_end(client: Client) -> Callable[[], None]:
    """What the front end does at the first signal that ends it."""
    return client.drain
