"""Passes /rq on to the dashboard's process, as it came; that process decides who may see it."""

from __future__ import annotations

import httpx2 as httpx
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from ltmc_jobs.settings import Settings

# Meant for one connection, not for the next
HOP = {
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "content-length",
    "content-encoding",
}


class Proxy:
    """An ASGI application; one connection pool a process."""

    def __init__(self, settings: Settings) -> None:
        socket = None if settings.dashboard_url else str(settings.run_directory / "dashboard.sock")
        self._client = httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=socket), base_url=settings.dashboard_url or "http://dashboard"
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        response = await self._forward(request) if scope["type"] == "http" else PlainTextResponse("", 404)
        await response(scope, receive, send)

    async def _forward(self, request: Request) -> Response:
        sent = [(name, value) for name, value in request.headers.raw if name.decode().lower() not in HOP]
        try:
            answer = await self._client.request(
                request.method,
                request.url.path + (f"?{request.url.query}" if request.url.query else ""),
                headers=sent,
                content=await request.body(),
                follow_redirects=False,
            )
        except httpx.HTTPError:
            return PlainTextResponse("The dashboard does not run (LTMC_DASHBOARD, ./start_workers.sh status).\n", 503)
        response = Response(answer.content, answer.status_code)
        response.raw_headers = [
            (name, value) for name, value in answer.headers.raw if name.decode().lower() not in HOP
        ] + [(b"content-length", str(len(answer.content)).encode())]
        return response
