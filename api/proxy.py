"""Passes /rq on to the dashboard's process, as it came; that process decides who may see it."""

from __future__ import annotations

from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx2 as httpx
import structlog
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from api.dashboard_socket import dashboard_socket
from api.requests import request_id
from ltmc_jobs.settings import Settings

log = structlog.get_logger("ltmc.api")

SECONDS = 30.0  # its pages read every job of a queue

# Meant for one connection, not for the next; the date is the outer server's
HOP = {
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "content-length",
    "content-encoding",
    "date",
}


class Proxy:
    """An ASGI application; one connection pool a process."""

    def __init__(self, settings: Settings) -> None:
        socket = None if settings.dashboard_url else str(dashboard_socket(settings))
        self._client = httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=socket),
            base_url=settings.dashboard_url or "http://dashboard",
            timeout=SECONDS,
            # One client serves every caller: it must not keep the cookie that opens the dashboard for one of them.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
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
                _target(request.scope),
                headers=sent,
                content=await request.body(),
                follow_redirects=False,
            )
        except httpx.HTTPError:
            return PlainTextResponse("The dashboard does not run (LTMC_DASHBOARD, ./start_workers.sh status).\n", 503)
        response = Response(answer.content, answer.status_code)
        if answer.is_error:
            log.info("dashboard refused", request_id=request_id(request), status=answer.status_code)
        kept = [(name.lower(), value) for name, value in answer.headers.raw if name.decode().lower() not in HOP]
        response.raw_headers = [*kept, (b"content-length", str(len(answer.content)).encode())]
        return response


def _target(scope: Scope) -> str:
    """Path and query as they came: decoded, a `%3F` in a name would begin a query."""
    path, query = scope["raw_path"].decode("ascii"), scope["query_string"].decode("ascii")
    return f"{path}?{query}" if query else path
