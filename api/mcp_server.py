"""MCP over stdio and streamable HTTP: the tools as a model's host sees them, each call a job."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mcp_types as types
from mcp.server import CacheHint, Server, ServerRequestContext
from mcp.server.stdio import stdio_server
from mcp.server.streamable_http_manager import StreamableHTTPASGIApp, StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from mcp.shared.exceptions import MCPError
from starlette.requests import Request
from starlette.routing import BaseRoute, Route

from api import platform
from api.call_meta import CallMeta
from api.mcp_listing import INSTRUCTIONS, listed
from api.requests import request_id, session_of, told
from api.security import BODY_LIMIT
from ltmc_jobs import __version__, logs, registry
from ltmc_jobs.answer import Answer
from ltmc_jobs.client import Client, Session
from ltmc_jobs.errors import LtmcError, Misconfigured, Unavailable, UnknownMethod
from ltmc_jobs.queues.contract import Principal, new_job_id
from ltmc_jobs.registry import Question, Tool
from ltmc_jobs.settings import Settings
from ltmc_jobs.shared import Shared

TEXT_LIMIT = 100_000  # bytes of text, about 25,000 tokens: hosts cut or refuse what is longer
PROGRESS_SECONDS = 5.0  # hosts give up a call that is silent for 60 s; half of the promised 10 s
START_SECONDS = 60.0
LIST_TTL_MS = 60_000

Context = ServerRequestContext[Any, Any]


def build(client_of: Callable[[], Client], settings: Settings, *, principal: Principal | None = None) -> Server[Any]:
    """The MCP server over the registry's tools; `principal` is who calls where no HTTP request says it."""
    calls = Calls(client_of, settings.project, principal or Principal())
    shown = [listed(form) for form in registry.forms()]
    schemas = {tool.name: tool.input_schema for tool in shown}

    async def list_tools(_ctx: Context, _params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        return types.ListToolsResult(tools=shown)

    server: Server[Any] = Server(
        "ltmc",
        version=__version__,
        title="LTMC long-term memory",
        instructions=INSTRUCTIONS,
        on_list_tools=list_tools,
        on_call_tool=calls.call,
        get_tool_input_schema=schemas.get,  # else every call would list all tools to check its headers
        cache_hints={"tools/list": CacheHint(ttl_ms=LIST_TTL_MS, scope="public")},
    )
    server.middleware.clear()  # OpenTelemetry's, a third of a call's cost; our traces travel in the envelope
    return server


class Calls:
    """Answers tools/call."""

    def __init__(self, client_of: Callable[[], Client], project: str, principal: Principal) -> None:
        self._client_of = client_of
        self._project = project
        self._principal = principal

    async def call(self, ctx: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
        """The tool's result, its job's handle, or an error that a model can read."""
        try:
            found = registry.find(params.name)
        except UnknownMethod as error:
            raise MCPError(types.INVALID_PARAMS, str(error), error.as_dict()) from None
        reference = request_id(ctx.request) if isinstance(ctx.request, Request) else new_job_id()
        try:
            meta = CallMeta.read(ctx.meta)
            session = meta.applied(self._session(ctx, reference))
            return answered(await self._answer(ctx, meta, session, found, params.arguments or {}))
        except Exception as error:  # told() logs it, and says only what may leave
            return failed(told(error, reference))

    async def _answer(
        self, ctx: Context, meta: CallMeta, session: Session, found: Tool | Question, arguments: Any
    ) -> Answer:
        form = found.form
        job_id = meta.job_id(session, form, arguments) or new_job_id()
        asked = self._client_of().call(form.name, arguments, session, wait_seconds=meta.wait_seconds, job_id=job_id)
        followed = job_id if isinstance(found, Tool) else arguments.get("job_id", "")
        telling = asyncio.create_task(self._tell_progress(ctx, session, str(followed)))
        try:
            return await asked
        finally:
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)

    async def _tell_progress(self, ctx: Context, session: Session, job_id: str) -> None:
        """Seconds so far (a number that only grows), with the job's state in words, until cancelled."""
        started = time.monotonic()
        while True:
            await asyncio.sleep(PROGRESS_SECONDS)
            words = "waiting"
            with suppress(LtmcError):
                info = await self._client_of().job(session, job_id)
                progress = info.meta.get("progress") or {}
                words = " ".join(str(part) for part in (info.status.value, progress.get("message")) if part)
            await ctx.session.report_progress(round(time.monotonic() - started, 1), message=words)

    def _session(self, ctx: Context, reference: str) -> Session:
        """From the HTTP request, if there is one."""
        if isinstance(ctx.request, Request):
            return session_of(ctx.request, self._project)
        return Session(self._project, self._principal, reference)


def answered(answer: Answer) -> types.CallToolResult:
    """An answer in MCP's form: structured, and as text for the model."""
    shown = answer.as_dict()
    job = {"job_id": answer.job_id, "status": answer.status, "tool": answer.tool, "cached": answer.cached}
    return types.CallToolResult(
        content=texts(json.dumps(shown, ensure_ascii=False, separators=(",", ":"))),
        structured_content=shown,
        _meta={"ltmc/job": job} if answer.job_id else None,
    )


def failed(error: dict[str, Any]) -> types.CallToolResult:
    """A tool's error, which the model may read and act on."""
    advice = " It may work if tried again." if error["retry"] else ""
    text = f"{error['code']}: {error['message']}{advice} (error id {error['id']})"
    return types.CallToolResult(content=texts(text), structured_content={"error": error}, is_error=True)


def texts(text: str) -> list[types.ContentBlock]:
    """The text, cut where hosts would; a note of its own says so."""
    encoded = text.encode(errors="replace")
    if len(encoded) <= TEXT_LIMIT:
        return [types.TextContent(text=text)]
    kept = encoded[:TEXT_LIMIT].decode(errors="ignore")
    note = f"[cut after {len(kept):,} of {len(text):,} characters; structuredContent has all of it, or ask for less]"
    return [types.TextContent(text=kept), types.TextContent(text=note)]


@dataclass(frozen=True, slots=True)
class Mounted:
    """Routes for the app, and what must run around them for as long as it does."""

    routes: Sequence[BaseRoute]
    running: Callable[[], AbstractAsyncContextManager[None]]


def mount(client_of: Callable[[], Client], settings: Settings, *, path: str = "/mcp") -> Mounted:
    """The server over streamable HTTP, for one app.

    app.router.routes.extend(mounted.routes)      # app.mount would redirect /mcp to /mcp/
    async with mounted.running(): yield           # in the app's lifespan, once; a mounted app's own is never run

    The Guard stands in front: it checks Host and Origin, and puts the principal into the scope.
    """
    manager = StreamableHTTPSessionManager(
        build(client_of, settings),
        stateless=True,  # nothing in this process' memory: any front end may answer any request
        json_response=False,  # as JSON there would be no progress and no first byte before the end
        max_request_body_size=BODY_LIMIT,
        # One rule, the Guard's: with the token any Host is served, which this list could not say.
        security_settings=TransportSecuritySettings(enable_dns_rebinding_protection=False),
    )
    # GET would open a stream that never ends and never says anything.
    return Mounted([Route(path, StreamableHTTPASGIApp(manager), methods=["POST"])], manager.run)


def serve_stdio(settings: Settings, project: str | None = None) -> None:
    """Serve one host over stdin and stdout until it closes them; starts the platform when none runs.

    When that fails: a line on standard error, and exit code 1.
    """
    logs.configure(settings.log_level, process="mcp")
    # The thread that reads stdin would outlive an orderly interrupt, and there is nothing to tidy up.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        chosen = Session(project or settings.project).project
        with _streams_aside(), _one_at_a_time(settings.home):
            _ensure_served(settings)
        asyncio.run(_serve_stdio(settings.model_copy(update={"project": chosen})))
    except LtmcError as error:
        sys.stderr.write(f"ltmc mcp: {error}\n")
        sys.exit(1)


def _ensure_served(settings: Settings) -> None:
    """Start the platform unless it serves."""
    platform.ensure_running(settings)
    deadline = time.monotonic() + START_SECONDS
    # It may be somebody else who is starting it: then the command returns before it is ready.
    while not platform.serves(settings):
        if time.monotonic() > deadline:
            raise Unavailable("the platform runs but serves no calls; ./start_workers.sh status says more")
        time.sleep(0.2)


@contextmanager
def _one_at_a_time(home: Path) -> Iterator[None]:
    """Of hosts that begin at once, as an editor's do, one starts the platform and the others wait for it."""
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        directory = os.open(home, os.O_RDONLY)  # the lock is on it, so that no file makes an empty home a used one
    except OSError as error:
        raise Misconfigured(f"{home} cannot be used: {error.strerror}; set LTMC_HOME to another") from None
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        yield
    finally:
        os.close(directory)


@contextmanager
def _streams_aside() -> Iterator[None]:
    """Within, children read nothing of the protocol's stdin, and what anyone prints goes to standard error."""
    kept = os.dup(0), os.dup(1)
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    try:
        yield
    finally:
        for number, file in enumerate(kept):
            os.dup2(file, number)
            os.close(file)


async def _serve_stdio(settings: Settings) -> None:
    shared = Shared.open(settings)
    client = Client(shared)
    server = build(lambda: client, settings, principal=Principal("stdio"))
    try:
        async with stdio_server() as (reading, writing):
            await server.run(reading, writing, server.create_initialization_options())
    finally:
        await shared.aclose()
