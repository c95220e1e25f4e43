"""Asking the API whether the platform works."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from contextlib import suppress
from typing import Any

from ltmc_jobs.settings import Settings

# The API is on this machine: a proxy from the environment would be asked for its own localhost.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def ask(settings: Settings, seconds: float = 5.0, url: str | None = None) -> dict[str, Any]:
    """What GET /health says, with its details to us; `{}` when nobody answers."""
    with suppress(OSError, ValueError):
        try:
            request = urllib.request.Request(f"{url or settings.http_url}/health", headers=_authorization(settings))
            with _OPENER.open(request, timeout=seconds) as answer:
                return _object(answer.read())
        except urllib.error.HTTPError as error:
            return _object(error.read())
    return {}


def is_healthy(said: dict[str, Any]) -> bool:
    """Whether every part works."""
    return said.get("status") == "healthy"


def reasons(said: dict[str, Any]) -> list[str]:
    """Why it is not healthy, a line each."""
    parts = said.get("components") or {}
    found = [
        f"{name}: {part.get('status')}" + (f" ({part['error']})" if part.get("error") else "")
        for name, part in parts.items()
        if part.get("status") != "healthy"
    ]
    silent = said.get("queues_without_worker") or []
    return found + ([f"no worker for {', '.join(silent)}"] if silent else [])


def _authorization(settings: Settings) -> dict[str, str]:
    """The token where the API asks for one: only a caller with it is told more than a word."""
    if not settings.needs_token:
        return {}
    file = settings.home / "token"
    given = settings.token.get_secret_value() if settings.token else file.read_text().strip() if file.exists() else ""
    return {"Authorization": f"Bearer {given}"} if given else {}


def _object(body: bytes) -> dict[str, Any]:
    said = json.loads(body)
    return said if isinstance(said, dict) else {}
