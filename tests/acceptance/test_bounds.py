"""Bodies, headers and connections beyond all bounds: each is refused, and everybody else is served meanwhile."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from api.security import BODY_LIMIT, Guard
from tests.acceptance.conftest import Platform
from tests.acceptance.front import LEAKS, raw, web_of
from tests.conftest import MakeSettings

JSON_TYPE = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def web(platform: Platform) -> Iterator[httpx.Client]:
    with web_of(platform.url) as opened:
        yield opened


def test_a_body_has_bounds(platform: Platform, web: httpx.Client) -> None:
    """T11: too large as announced and too large in pieces, on every route that takes one."""
    for path in ("/jsonrpc", "/tools/store_memory", "/mcp", "/rq/x"):
        pieces = (b"x" * 65536 for _ in range(BODY_LIMIT // 65536 + 1))
        answer = web.post(path, content=pieces, headers=JSON_TYPE)
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large"), path
    port = int(platform.env["HTTP_PORT"])
    head = f"POST /jsonrpc HTTP/1.1\r\nHost: localhost:{port}\r\nContent-Type: application/json\r\n"
    assert b" 413 " in raw(port, f"{head}Content-Length: {BODY_LIMIT + 1}\r\n\r\n".encode())
    nested = b'{"file_name":"x","content":' + b"[" * 500_000 + b"]" * 500_000 + b"}"
    assert web.post("/tools/store_memory", content=nested, headers=JSON_TYPE).status_code == 400
    assert web.get("/health").status_code == 200


def test_broken_http_is_refused(platform: Platform, web: httpx.Client) -> None:
    """T11: ambiguous lengths, two Hosts, endless headers, upgrades: never a 500, and nothing is carried out."""
    port = int(platform.env["HTTP_PORT"])
    host = f"Host: localhost:{port}\r\n"
    body = b'{"jsonrpc":"2.0","id":1,"method":"tools/list"}'
    for head, status in (
        (f"GET / HTTP/1.1\r\n{host}Host: evil\r\n", b" 400 "),
        ("GET / HTTP/1.1\r\n", b" 400 "),
        (f"POST /jsonrpc HTTP/1.1\r\n{host}Content-Length: 5\r\nContent-Length: 6\r\n", b" 400 "),
        (f"POST /jsonrpc HTTP/1.1\r\n{host}Content-Length: -1\r\n", b" 400 "),
        (f"GET / HTTP/1.1\r\n{host}X: {'x' * 1_000_000}\r\n", b" 400 "),
        ("GET / HTTP/1.0\r\n", b" 403 "),
        (f"GET / HTTP/1.1\r\n{host}Connection: Upgrade\r\nUpgrade: websocket\r\nOrigin: http://evil\r\n", b" 403 "),
        (f"GET /\x01 HTTP/1.1\r\n{host}", b" 400 "),
        ("nonsense\r\n", b" 400 "),
    ):
        answer = raw(port, head.encode() + b"\r\n" + body)
        assert status in answer.partition(b"\r\n")[0] + b" ", (head[:60], answer[:200])
        assert LEAKS.search(answer.decode(errors="replace")) is None
    assert web.get("/health").status_code == 200


def test_slow_senders_hold_nobody_up(platform: Platform, web: httpx.Client) -> None:
    """T09, T11: two hundred connections that never finish their headers; calls are answered as before."""
    slow = [socket.create_connection(("127.0.0.1", int(platform.env["HTTP_PORT"]))) for _ in range(200)]
    try:
        for connection in slow:
            connection.sendall(b"GET /tools HTTP/1.1\r\nHost: local")
        for _ in range(20):
            started = time.monotonic()
            assert web.get("/health").status_code == 200
            assert time.monotonic() - started < 1
    finally:
        for connection in slow:
            connection.close()


async def test_a_body_that_does_not_end_is_given_up(make_settings: MakeSettings) -> None:
    """T11: the body has a minute in all; what a caller does after it (waiting for events) has no end."""
    sent: list[Any] = []

    async def receive() -> Any:
        await asyncio.sleep(0.05)
        return {"type": "http.request", "body": b" ", "more_body": True}

    async def send(message: Any) -> None:
        sent.append(message)

    async def read_on(_scope: Any, receive: Any, _send: Any) -> None:
        while True:
            await receive()

    headers = [(b"host", b"localhost"), (b"content-type", b"application/json"), (b"transfer-encoding", b"chunked")]
    scope = {"type": "http", "method": "POST", "path": "/jsonrpc", "headers": headers, "client": ("127.0.0.1", 1)}
    guard = Guard(read_on, make_settings(LTMC_TOKEN="a-token-of-the-tests-0123456789"), body_seconds=0.3)
    await guard(scope | {"query_string": b""}, receive, send)
    assert sent[0]["status"] == 408
