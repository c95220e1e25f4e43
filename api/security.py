"""Who may call: direct local callers on loopback, everybody else with the token. Pure ASGI, before any route."""

from __future__ import annotations

import hmac
import ipaddress
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ltmc_jobs.errors import Forbidden, InvalidCall, LtmcError, Unauthorized
from ltmc_jobs.queues.contract import Principal
from ltmc_jobs.secret_files import make_secret
from ltmc_jobs.settings import Settings

LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")
FORWARDED = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip")
BODY_LIMIT = 16 * 1024 * 1024  # bytes; the largest document is 4 million characters
OPEN_PATHS = ("/health",)  # says a word to anyone, the details to callers
OWN_GUARD = ("/rq",)  # a browser opens it by a one-time link; its process checks the cookie


class TooLarge(InvalidCall):
    """The request's body is too large."""

    code, status = "too_large", 413


class WrongType(InvalidCall):
    """The body must be JSON."""

    code, status = "wrong_type", 415


def api_token(settings: Settings) -> str:
    """The token of the setting, or the one made on first start (owner-only, in the home)."""
    return settings.token.get_secret_value() if settings.token else make_secret(settings.home / "token")


def needs_token(settings: Settings) -> bool:
    """Whether local callers need the token too: beyond loopback they cannot be told apart."""
    return settings.require_token or settings.http_host not in LOCAL_HOSTS


class Guard:
    """Lets a request through with `scope["ltmc.principal"]`, or answers it."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._settings = settings
        self._token = api_token(settings).encode()
        self._hosts = {*LOCAL_HOSTS, settings.http_host, *settings.allowed_hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        try:
            principal = self._admit(scope, headers)
            self._check_body(scope, headers)
        except LtmcError as error:
            await refusal(error)(scope, receive, send)
            return
        agent, session = headers.get("x-ltmc-agent"), headers.get("x-ltmc-session")
        scope["ltmc.principal"] = replace(principal, agent_id=agent, session_id=session) if principal else None
        await self._app(scope, _limited(receive), _plain_headers(send))

    def _admit(self, scope: Scope, headers: Headers) -> Principal | None:
        offered = headers.get("authorization", "")
        if offered:
            if not hmac.compare_digest(offered.removeprefix("Bearer ").encode(), self._token):
                raise Unauthorized()
            return Principal("token")
        if needs_token(self._settings):
            if scope["path"] in OPEN_PATHS or scope["path"].startswith(OWN_GUARD):
                return None
            raise Unauthorized()
        self._check_direct(scope, headers)
        return Principal("local")

    def _check_direct(self, scope: Scope, headers: Headers) -> None:
        if any(name in headers for name in FORWARDED):
            raise Forbidden("a forwarded request needs the token: send it as `Authorization: Bearer …`")
        if not _is_loopback((scope.get("client") or ("",))[0]):
            raise Forbidden("only callers on this machine are served without the token")
        if _host_name(headers.get("host", "")) not in self._hosts:
            raise Forbidden("this Host is not served; add it to LTMC_ALLOWED_HOSTS")
        origin = headers.get("origin")
        if origin and origin not in self._settings.allowed_origins and urlsplit(origin).netloc != headers.get("host"):
            raise Forbidden("this Origin is not allowed; add it to LTMC_ALLOWED_ORIGINS")

    def _check_body(self, scope: Scope, headers: Headers) -> None:
        if int(headers.get("content-length") or 0) > BODY_LIMIT:
            raise TooLarge(f"at most {BODY_LIMIT:,} bytes")
        has_body = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if has_body and kind != "application/json" and not scope["path"].startswith(OWN_GUARD):
            raise WrongType("send Content-Type: application/json")


def refusal(error: LtmcError) -> JSONResponse:
    """An error as REST shows it."""
    headers = {"WWW-Authenticate": "Bearer"} if isinstance(error, Unauthorized) else None
    return JSONResponse({"success": False, "error": error.as_dict()}, error.status, headers=headers)


def _is_loopback(address: str) -> bool:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address == ""  # a Unix socket has no address
    mapped = getattr(found, "ipv4_mapped", None)
    return bool((mapped or found).is_loopback)


def _host_name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _limited(receive: Receive) -> Receive:
    taken = 0

    async def limited() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > BODY_LIMIT:
            raise TooLarge(f"at most {BODY_LIMIT:,} bytes")
        return message

    return limited


def _plain_headers(send: Send) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(raw=message["headers"])
            headers["X-Content-Type-Options"] = "nosniff"
            headers.setdefault("Cache-Control", "no-store")
        await send(message)

    return sent


def principal_of(scope: Any) -> Principal:
    """The principal that the guard let in."""
    found = scope.get("ltmc.principal")
    return found if isinstance(found, Principal) else Principal("anonymous")
