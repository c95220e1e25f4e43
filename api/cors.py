"""Which browser origins may call from elsewhere: none, but those that LTMC_ALLOWED_ORIGINS names."""

from __future__ import annotations

import re

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware

from ltmc_jobs.errors import Misconfigured
from ltmc_jobs.settings import Settings

ANY = "*"
# As browsers send it: in small letters, nothing after the port. `null` is what any page can be made to send.
ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://([a-z0-9.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")
READABLE = ("Location", "X-Request-ID", "WWW-Authenticate", "Mcp-Session-Id", "Mcp-Protocol-Version")


def allow_origins(app: FastAPI, settings: Settings) -> None:
    """Let browsers hand our answers to pages of these origins; Misconfigured for a list that would let in too many.

    A browser's cookies are never asked for: who calls from another origin is known by the token, or is local.
    """
    origins = list(settings.allowed_origins)
    if not origins:
        return
    for origin in origins:
        if origin != ANY and not ORIGIN.fullmatch(origin):
            raise Misconfigured(
                f"LTMC_ALLOWED_ORIGINS: {origin!r} is no origin: write https://host or https://host:port, "
                "in small letters and without a slash at its end"
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
