"""The front end: one FastAPI application over one Client."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import redis
import structlog
from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import cors, docs_page, health, jsonrpc, metrics, openapi, proxy, rest
from api.mcp import http as mcp_http
from api.requests import request_id, told
from api.security import Guard, needs_token
from ltmc_jobs import __version__, registry, user_tools
from ltmc_jobs.client import Client
from ltmc_jobs.errors import Disabled, InvalidArguments, InvalidCall, LtmcError, NotFound
from ltmc_jobs.metrics import Metrics
from ltmc_jobs.private_files import make_private
from ltmc_jobs.queues.envelope import Keyring
from ltmc_jobs.queues.queue import reached
from ltmc_jobs.settings import Settings
from ltmc_jobs.shared import Shared

FLUSH_SECONDS = 1.0
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")  # callers may make up others
FOUND = {"type": "object", "properties": {"status": {"enum": ["healthy", "degraded", "unhealthy"]}}}
NO_REDIS = "Redis is switched off (REDIS_ENABLED=false), and this needs it"

log = structlog.get_logger("ltmc.api")


def create_app(settings: Settings) -> FastAPI:
    """The application; it connects when it starts, and not at all without Redis."""
    for mistake in user_tools.load(settings).mistakes:  # before the routes are made
        log.warning("left out of the tools", file=mistake.file, line=mistake.line, reason=mistake.message)
    shared = Shared.open(settings) if settings.redis_enabled else None
    if shared:
        with contextlib.suppress(redis.RedisError):  # the front end starts without it, and says so
            shared.installation.check_keys(shared.keys)
    client = Client(shared or _apart(settings))
    looking = health.Health(settings)

    def client_of() -> Client:
        return client

    mcp = mcp_http.mount(client_of, settings)

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with mcp.running(), _flushing(shared.metrics) if shared else contextlib.nullcontext():
            yield
        looking.close()
        if shared:
            await shared.aclose()

    about = __doc__ or ""
    app = openapi.Application(
        title="LTMC Jobs", version=__version__, description=about, lifespan=lifespan, docs_url=None, redoc_url=None
    )
    routers = [jsonrpc.router(client_of, settings.project), rest.router(client_of, settings.project)]
    routers += [docs_page.router(), _status(settings, shared, looking)]
    index: dict[str, Any] = {"summary": "What is served where", "responses": openapi.answers({"type": "object"})}
    routers[-1].add_api_route("/", _index(app, routers), tags=["status"], **index)
    app.router.routes.extend(mcp.routes)  # first: every route in front of it is looked at with each call
    for router in routers:
        app.include_router(router)
    app.mount("/rq", proxy.Proxy(settings))
    for kind in (LtmcError, HTTPException, RequestValidationError):
        app.add_exception_handler(kind, _answer_error)
    app.add_middleware(Guard, settings=settings)
    cors.allow_origins(app, settings)
    if shared:
        app.add_middleware(Counted, metrics=shared.metrics)
    app.state.drain = client.drain
    return app


def _apart(settings: Settings) -> Shared:
    """Without Redis, this process is the only one: it makes the key that it signs with."""
    make_private(settings.home)
    Keyring.make(settings)
    return Shared.open_apart(settings)


def _status(settings: Settings, shared: Shared | None, looking: health.Health) -> APIRouter:
    routes = APIRouter(tags=["status"])

    found: dict[str, Any] = {"description": "What was found", "content": {"application/json": {"schema": FOUND}}}

    @routes.get("/health", summary="Whether every part works", responses=openapi.answers(FOUND) | {503: found})
    async def show_health(request: Request) -> JSONResponse:
        found = await looking.look()
        known = not needs_token(settings) or request.scope.get("ltmc.principal") is not None
        return JSONResponse(found if known else health.brief(found), 503 if found["status"] == "unhealthy" else 200)

    text: dict[str, Any] = {"description": "Prometheus' text format", "content": {CONTENT_TYPE_LATEST: {}}}

    @routes.get(
        "/metrics",
        summary="Prometheus metrics of the whole installation",
        response_class=Response,
        responses=openapi.answers({}) | {200: text},
    )
    async def show_metrics() -> Response:
        if shared is None:
            raise Disabled(NO_REDIS)
        return Response(await asyncio.to_thread(reached, metrics.render, shared), media_type=CONTENT_TYPE_LATEST)

    return routes


def _index(app: FastAPI, routers: list[APIRouter]) -> Any:
    async def index() -> dict[str, Any]:
        found: dict[str, set[str]] = {}
        for route in [*app.routes, *(route for router in routers for route in router.routes)]:
            path = getattr(route, "path", None)  # an included router has none of its own
            if path:
                found.setdefault(path, set()).update(getattr(route, "methods", None) or {"*"})
        tools = sum(1 for _ in registry.forms())
        listed = [{"path": path, "methods": sorted(methods)} for path, methods in sorted(found.items())]
        return {"name": app.title, "version": app.version, "tools_count": tools, "endpoints": listed}

    return index


async def _answer_error(request: Request, error: Exception) -> Response:
    """Any error as REST shows it: its code and words, an id that the log has, nothing of our inside."""
    headers = getattr(error, "headers", None)  # Starlette's own: Allow
    if isinstance(error, HTTPException):
        error = NotFound("there is nothing here; GET / lists what is") if error.status_code == 404 else _http(error)
    elif isinstance(error, RequestValidationError):
        first = error.errors()[0]
        where = str(first["loc"][-1])
        error = InvalidArguments(f"{where}: {first['msg']}", field=where)
    status = error.status if isinstance(error, LtmcError) else 500
    return JSONResponse({"success": False, "error": told(error, request_id(request))}, status, headers=headers)


def _http(error: HTTPException) -> LtmcError:
    refused = InvalidCall(str(error.detail))
    refused.status = error.status_code  # type: ignore[misc]
    return refused


@contextlib.asynccontextmanager
async def _flushing(counted: Metrics) -> AsyncIterator[None]:
    """Within, what was counted is added to Redis now and then; the rest at the end."""
    flushing = asyncio.create_task(_flush(counted))
    try:
        yield
    finally:
        flushing.cancel()
        with contextlib.suppress(redis.RedisError):
            await asyncio.to_thread(counted.flush)


async def _flush(counted: Metrics) -> None:
    while True:
        await asyncio.sleep(FLUSH_SECONDS)
        with contextlib.suppress(redis.RedisError):
            await asyncio.to_thread(counted.flush)


class Counted:
    """Counts every request, also those that the guard answers, by route and status."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.monotonic(), 500

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            route = getattr(scope.get("route"), "path", None) or _family(scope["path"])
            method = f"{scope['method'] if scope['method'] in METHODS else 'OTHER'} {route}"
            self._metrics.count("ltmc_requests_total", method, str(status))
            self._metrics.observe("ltmc_request_duration_seconds", time.monotonic() - started, method)


def _family(path: str) -> str:
    """A path of no route, without what callers may make up."""
    return next((prefix for prefix in ("/mcp", "/rq", "/docs") if path.startswith(prefix)), "other")
