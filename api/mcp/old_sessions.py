"""Sessions of clients before 2026-07-28: what they said of themselves travels in the session's id, signed.

So nothing of a session is in any process' memory, and every front end may answer every request of it.
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import AsyncGenerator, Callable
from typing import Any, TypeAlias

from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.mcp.stream import EVENTS, Stream
from api.requests import session_of
from ltmc_jobs.client import Client
from ltmc_jobs.errors import LtmcError
from ltmc_jobs.inquiry import ELICITATION, response
from ltmc_jobs.session import Session

SESSION = "mcp-session-id"
VERSION = "mcp-protocol-version"
STREAM = "ltmc.mcp_stream"
SESSION_ID = "ltmc.mcp_session"
CAPABILITIES = "ltmc.mcp_capabilities"
ASKED = "ltmc"  # how the ids of what we ask begin


Events: TypeAlias = Callable[[str, Session], AsyncGenerator[str]]


class OldSessions:
    """ASGI, in front of the SDK's application; requests of 2026-07-28 and later, which have no GET, pass through."""

    def __init__(self, app: ASGIApp, client_of: Callable[[], Client], project: str, events: Events) -> None:
        self._app = app
        self._client_of = client_of
        self._project = project
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        version = headers.get(VERSION)
        if version is not None and version not in HANDSHAKE_PROTOCOL_VERSIONS:
            await self._app(scope, receive, send)
            return
        named = headers.get(SESSION)
        capabilities = None if named is None else self._capabilities(named)
        if named is not None and capabilities is None:
            await _lost()(scope, receive, send)
            return
        if scope["method"] == "GET":
            await self._open(Request(scope), named)(scope, receive, send)
            return
        body, replay = await _read(receive)
        said = _object(body)
        if said is not None and "method" not in said and "id" in said:
            await self._hear(Request(scope), said)
            await Response(status_code=202)(scope, receive, send)
            return
        new: dict[str, str] = {}
        if said is not None and said.get("method") == "initialize":
            new[SESSION] = self._named(said)
        stream = Stream(send, new)
        scope.update({STREAM: stream, SESSION_ID: named, CAPABILITIES: capabilities or frozenset()})
        await self._app(scope, replay, stream.send)

    def _open(self, request: Request, named: str | None) -> Response:
        """A session's own stream, on which it hears what it subscribed to; without a session nothing would be said."""
        if named is None or EVENTS not in request.headers.get("accept", ""):
            return PlainTextResponse("Method Not Allowed", 405, {"Allow": "POST"})
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        told = self._events(named, session_of(request, self._project))
        return StreamingResponse(told, headers=headers, media_type=EVENTS)

    async def _hear(self, request: Request, said: dict[str, Any]) -> None:
        """A client's reply: the answer to what a job asks. What is not one is nobody's."""
        asked = asked_by(said["id"])
        if asked is None:
            return
        project, job_id, key = asked
        session = session_of(request, self._project)
        try:
            await give(self._client_of(), Session(project, session.principal, session.trace_id), job_id, key, said)
        except LtmcError:
            return  # the job has ended, or asks no more: there is nobody to tell

    def _named(self, said: dict[str, Any]) -> str:
        """A session's id: what the client can do, something random, a signature."""
        params = said.get("params")
        declared = params.get("capabilities") if isinstance(params, dict) else None
        names = sorted(declared) if isinstance(declared, dict) else []
        told = json.dumps([names[:16], secrets.token_hex(16)]).encode()
        signature = self._client_of().shared.keys.sign(told)
        return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in (told, signature.encode()))

    def _capabilities(self, named: str) -> frozenset[str] | None:
        """What the client of a session can do; None if the session is not one of this installation."""
        try:
            told, signature = (base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in named.split("."))
            if not self._client_of().shared.keys.verifies(told, signature.decode()):
                return None
            return frozenset(json.loads(told)[0])
        except (ValueError, TypeError, LookupError):
            return None


def asking(session: Session, job_id: str, key: str) -> str:
    """The id of a request for an answer to a job."""
    return "/".join([ASKED, session.project, job_id, key])


def asked_by(request_id: Any) -> tuple[str, str, str] | None:
    """Project, job and key that the id of a request of ours names; None for any other id."""
    parts = request_id.split("/", 3) if isinstance(request_id, str) else []
    return (parts[1], parts[2], parts[3]) if len(parts) == 4 and parts[0] == ASKED else None


async def give(client: Client, session: Session, job_id: str, key: str, said: dict[str, Any]) -> None:
    """Give a job what a client replied to one of its questions; that it would not counts as declined."""
    question = ((await client.job(session, job_id)).questions or {}).get(key)
    if question is None:
        return
    answer: Any = said.get("result")
    if "error" in said:
        declined = question.get("method") == ELICITATION
        answer = {"action": "decline"} if declined else {"error": said["error"]}
    await client.answer(session, job_id, {key: response(key, question, answer)})


def _lost() -> Response:
    error = {"code": -32001, "message": "Session not found"}
    return JSONResponse({"jsonrpc": "2.0", "id": None, "error": error}, 404)


async def _read(receive: Receive) -> tuple[bytes, Receive]:
    """The body, and a `receive` that gives it again; the guard in front has bounded it."""
    messages: list[Message] = []
    while not messages or messages[-1].get("more_body"):
        messages.append(await receive())
    waiting = iter(messages)

    async def replay() -> Message:
        return next(waiting, None) or await receive()

    return b"".join(message.get("body", b"") for message in messages), replay


def _object(body: bytes) -> dict[str, Any] | None:
    """The body, if it is one message; a reply and the beginning of a session matter here."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
