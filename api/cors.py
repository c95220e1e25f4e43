"""Which browser origins may call from elsewhere: none, but those that LTMC_ALLOWED_ORIGINS names."""

from __future__ import annotations

from urllib.parse import urlsplit

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware

from ltmc_jobs.errors import Misconfigured
from ltmc_jobs.settings import Settings

ANY = "*"
READABLE = ("Location", "X-Request-ID", "WWW-Authenticate", "Mcp-Session-Id", "Mcp-Protocol-Version")


def allow_origins(app: FastAPI, settings: Settings) -> None:
    """Let browsers hand our answers to pages of these origins; Misconfigured for a list that would let in too many.

    A browser's cookies are never asked for: who calls from another origin is known by the token, or is local.
    """
    origins = list(settings.allowed_origins)
    if not origins:
        return
    for origin in origins:
        if origin != ANY and not _is_origin(origin):
            raise Misconfigured(
                f"LTMC_ALLOWED_ORIGINS: {origin!r} is no origin: write https://HOST or https://HOST:PORT, "
                "without a slash at its end"
            )
    if ANY in origins and not settings.needs_token:
        raise Misconfigured(
            "LTMC_ALLOWED_ORIGINS=*: callers on this machine need no token, so every website that its owner opens "
            "could read the memory; name the origins, or set LTMC_REQUIRE_TOKEN=1"
        )
    app.add_middleware(
        CORSMiddleware,
        allow_origins=[ANY] if ANY in origins else origins,
        allow_methods=["GET", "POST", "DELETE", "OPTIONS"],
        allow_headers=["*"],
        allow_credentials=False,
        expose_headers=list(READABLE),
    )


def _is_origin(text: str) -> bool:
    """Whether a browser could send this as its Origin; `null` is what any page can be made to send."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return False
    return text == f"{parts.scheme}://{parts.netloc}" and bool(parts.scheme and parts.hostname) and port != 0
