"""Calling a running platform over HTTP, as any program would."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any


def post(url: str, body: Any, headers: dict[str, str] | None = None) -> tuple[int, Any]:
    """Status and JSON of a POST."""
    return _send(
        urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json", **(headers or {})})
    )


def get(url: str, headers: dict[str, str] | None = None) -> tuple[int, Any]:
    """Status and JSON of a GET."""
    return _send(urllib.request.Request(url, headers=headers or {}))


def call(
    url: str, tool: str, arguments: dict[str, Any], *, project: str = "default", wait: float = 30
) -> dict[str, Any]:
    """A tool's answer; AssertionError unless it succeeded."""
    status, answer = post(f"{url}/tools/{tool}?project={project}&wait={wait}", arguments)
    assert status in (200, 202), answer
    assert isinstance(answer, dict)
    return answer


def _send(request: urllib.request.Request) -> tuple[int, Any]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=60) as response:
            return response.status, _json(response.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, _json(error.read())


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body.decode(errors="replace")
