"""Nothing blocks the front end's event loop."""

from __future__ import annotations

import asyncio
import logging
import socket
import sqlite3
import sys
import threading
from contextlib import closing, suppress
from typing import Any

import httpx
import pytest

from api.app import create_app
from ltmc_jobs.settings import Settings
from tests.fleet import open_installation

SLOW_SECONDS = 0.25  # a callback this long on a busy machine is no accident
BLOCKING = ("socket.connect", "subprocess.Popen", "sqlite3.connect")


class Detector:
    """Notes what the interpreter reports of one thread: connecting a blocking socket, opening a database, a process."""

    def __init__(self) -> None:
        self.thread = 0
        self.seen: list[str] = []
        sys.addaudithook(self._hook)  # for the life of the process: it notes only while `thread` is set

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in BLOCKING and threading.get_ident() == self.thread:
            if event == "socket.connect" and arguments[0].gettimeout() == 0:
                return  # asyncio's own
            self.seen.append(f"{event}{arguments}")


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector()


def test_the_detector_sees_what_it_should(detector: Detector) -> None:
    detector.seen.clear()
    detector.thread = threading.get_ident()
    with closing(sqlite3.connect(":memory:")), socket.socket() as blocking, suppress(OSError):
        blocking.connect(("127.0.0.1", 9))
    detector.thread = 0
    assert len(detector.seen) == 2


def test_no_request_blocks_the_loop(detector: Detector, settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    """Q02: every route, its Redis connections fresh, so that a blocking use would have to connect in the loop."""
    open_installation(settings).close()
    detector.seen.clear()

    async def ask_everything() -> list[int]:
        loop = asyncio.get_running_loop()
        app = create_app(settings)
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=30) as client,
        ):
            store = {"file_name": "a.md", "content": "x"}
            body = {"jsonrpc": "2.0", "id": 1, "method": "store_memory", "params": store}
            await client.get("/tools")
            loop.set_debug(True)
            loop.slow_callback_duration = SLOW_SECONDS
            detector.thread = threading.get_ident()
            handle = await client.post("/tools/store_memory?wait=0", json=store)
            job = handle.json()["job_id"]
            answers = [
                handle,
                await client.post("/jsonrpc", json=body),
                await client.post("/tools/retrieve_memory", json={"query": "x"}),
                await client.get("/health"),
                await client.get("/metrics"),
                await client.get("/jobs"),
                await client.get(f"/jobs/{job}"),
                await client.get(f"/jobs/{job}/result?wait=0.2"),
                await client.delete(f"/jobs/{job}"),
                await client.get("/"),
                await client.get("/rq/"),
            ]
            detector.thread = 0
            loop.set_debug(False)
            return [answer.status_code for answer in answers]

    with caplog.at_level(logging.WARNING, logger="asyncio"):
        statuses = asyncio.run(ask_everything())
    assert statuses == [202, 200, 202, 200, 200, 200, 200, 202, 200, 200, 503]
    assert detector.seen == []
    assert [record.getMessage() for record in caplog.records if "took" in record.getMessage()] == []
