"""Who may call: direct local callers on loopback, everybody else with the token. Pure ASGI, before any route."""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
from dataclasses import replace
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.requests import request_id, told
from ltmc_jobs.errors import Forbidden, InvalidCall, LtmcError, Misconfigured, Unauthorized
from ltmc_jobs.private_files import make_secret
from ltmc_jobs.queues.contract import Principal
from ltmc_jobs.settings import LOOPBACK_NAMES, Settings

LOCAL_HOSTS = LOOPBACK_NAMES
FORWARDED = ("forwarded", "via", "x-real-ip", "true-client-ip", "cf-connecting-ip")  # and all X-Forwarded-*
BODY_LIMIT = 16 * 1024 * 1024  # bytes; the largest document is 4 million characters
BODY_SECONDS = 60.0  # for the whole body: a sender who never ends would hold memory and a connection
NAME_LIMIT = 256  # characters of the names that callers give themselves
TOKEN_CHARACTERS = 16
OPEN_PATHS = ("/health",)  # says a word to anyone, the details to callers
OWN_GUARD = "/rq"  # a browser opens it by a one-time link; its process checks the cookie
PLAIN_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Cache-Control": "no-store",
}


class TooLarge(InvalidCall):
    """The request's body is too large."""

    code, status = "too_large", 413


class TooSlow(InvalidCall):
    """The request's body did not end in time."""

    code, status = "too_slow", 408


class WrongType(InvalidCall):
    """The body must be JSON."""

    code, status = "wrong_type", 415


def api_token(settings: Settings) -> str:
    """The token of the setting, or the one made on first start (owner-only, in the home)."""
    if settings.token:
        token = settings.token.get_secret_value()
    else:
        settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        token = make_secret(settings.home / "token")
    if len(token) < TOKEN_CHARACTERS:
        raise Misconfigured(
            f"the token (LTMC_TOKEN, or the file token in {settings.home}) has fewer than {TOKEN_CHARACTERS} characters"
        )
    return token


def needs_token(settings: Settings) -> bool:
    """Whether local callers need the token too."""
    return settings.needs_token


class Guard:
    """Lets a request through with `scope["ltmc.principal"]`, or answers it; so too what nobody below foresaw."""

    def __init__(self, app: ASGIApp, settings: Settings, body_seconds: float = BODY_SECONDS) -> None:
        self._app = app
        self._settings = settings
        self._body_seconds = body_seconds
        self._token = api_token(settings).encode()
        self._hosts = {*LOCAL_HOSTS, settings.http_host, *settings.allowed_hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        elif scope["type"] != "http":
            await self._app(scope, receive, send)
        else:
            await self._guard(scope, receive, send)

    async def _guard(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        answer = _Answer(send, request_id(Request(scope)))
        try:
            principal = self._admit(scope, headers)
            self._check_body(scope, headers)
            scope["ltmc.principal"] = _named(principal, headers) if principal else None
            await self._app(scope, _limited(receive, self._body_seconds), answer)
        except ClientDisconnect:
            return
        except Exception as error:
            if answer.started:
                raise
            await refusal(error, answer.request_id)(scope, receive, answer)

    def _admit(self, scope: Scope, headers: Headers) -> Principal | None:
        offered = headers.get("authorization", "")
        if offered:
            scheme, _, token = offered.partition(" ")
            if scheme.lower() != "bearer" or not hmac.compare_digest(token.strip().encode(), self._token):
                raise Unauthorized()
            return Principal("token")
        if needs_token(self._settings):
            if scope["path"] in OPEN_PATHS or _is_under(scope["path"], OWN_GUARD):
                return None
            raise Unauthorized()
        self._check_direct(scope, headers)
        return Principal("local")

    def _check_direct(self, scope: Scope, headers: Headers) -> None:
        if any(name in FORWARDED or name.startswith("x-forwarded") for name in headers):
            raise Forbidden("a forwarded request needs the token: send it as `Authorization: Bearer …`")
        if not _is_loopback((scope.get("client") or ("",))[0]):
            raise Forbidden("only callers on this machine are served without the token")
        host = headers.get("host", "")
        if _parts(host)[0] not in self._hosts:
            raise Forbidden("this Host is not served; add it to LTMC_ALLOWED_HOSTS")
        origin = headers.get("origin")
        if origin in self._settings.allowed_origins:
            return
        if origin is not None and _parts(origin.partition("://")[2])[1] != host:
            raise Forbidden("this Origin is not allowed; add it to LTMC_ALLOWED_ORIGINS")
        # What a browser sends for another site without naming it: images, scripts. A link followed is no such thing.
        site, mode = headers.get("sec-fetch-site", "none"), headers.get("sec-fetch-mode")
        if site not in ("none", "same-origin") and mode != "navigate":
            raise Forbidden("this browser asks for another site")

    def _check_body(self, scope: Scope, headers: Headers) -> None:
        length = int(headers.get("content-length") or 0)
        if length > BODY_LIMIT:
            raise TooLarge(f"at most {BODY_LIMIT:,} bytes")
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        has_body = length > 0 or "transfer-encoding" in headers
        if has_body and kind != "application/json" and not _is_under(scope["path"], OWN_GUARD):
            raise WrongType("send Content-Type: application/json")


def refusal(error: Exception, reference: str) -> JSONResponse:
    """An error as REST shows it, logged under its id."""
    headers = {"WWW-Authenticate": "Bearer"} if isinstance(error, Unauthorized) else None
    status = error.status if isinstance(error, LtmcError) else 500
    return JSONResponse({"success": False, "error": told(error, reference)}, status, headers=headers)


class _Answer:
    """Sends on, with the headers that every answer has."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self.request_id = request_id
        self.started = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            headers = MutableHeaders(raw=message["headers"])
            for name, value in PLAIN_HEADERS.items():
                headers.setdefault(name, value)
            headers["X-Request-ID"] = self.request_id
        await self._send(message)


def _named(principal: Principal, headers: Headers) -> Principal:
    """The principal under the names that the caller gives."""
    agent, session = headers.get("x-ltmc-agent"), headers.get("x-ltmc-session")
    if any(name is not None and not 0 < len(name) <= NAME_LIMIT for name in (agent, session)):
        raise InvalidCall(f"X-LTMC-Agent and X-LTMC-Session have 1 to {NAME_LIMIT} characters")
    return replace(principal, agent_id=agent, session_id=session)


def _is_under(path: str, prefix: str) -> bool:
    return path == prefix or path.startswith(f"{prefix}/")


def _is_loopback(address: str) -> bool:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address == ""  # a Unix socket has no address
    mapped = getattr(found, "ipv4_mapped", None)
    return bool((mapped or found).is_loopback)


def _parts(host: str) -> tuple[str, str]:
    """The name in `name:port`, and the whole; empty for what is no host."""
    try:
        split = urlsplit(f"//{host}")
    except ValueError:
        return "", ""
    return split.hostname or "", split.netloc


def _limited(receive: Receive, seconds: float) -> Receive:
    """The body, in bounds; what comes after it (a caller's going away) may take for ever."""
    taken, ended = 0, False
    until = asyncio.get_running_loop().time() + seconds

    async def limited() -> Message:
        nonlocal taken, ended
        if ended:
            return await receive()
        try:
            async with asyncio.timeout_at(until):
                message = await receive()
        except TimeoutError:
            raise TooSlow(f"the body did not end within {seconds:g} seconds") from None
        taken += len(message.get("body", b""))
        ended = not message.get("more_body", False)
        if taken > BODY_LIMIT:
            raise TooLarge(f"at most {BODY_LIMIT:,} bytes")
        return message

    return limited
