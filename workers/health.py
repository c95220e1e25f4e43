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


def ask(settings: Settings, seconds: float = 5.0) -> dict[str, Any]:
    """What GET /health says; `{}` when nobody answers."""
    with suppress(OSError, ValueError):
        try:
            with _OPENER.open(f"{settings.http_url}/health", timeout=seconds) as answer:
                return _object(answer.read())
        except urllib.error.HTTPError as error:
            return _object(error.read())
    return {}


def is_healthy(said: dict[str, Any]) -> bool:
    """Whether every part works."""
    return said.get("status") == "healthy"


def _object(body: bytes) -> dict[str, Any]:
    said = json.loads(body)
    return said if isinstance(said, dict) else {}
