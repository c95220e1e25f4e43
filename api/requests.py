"""What a request says beside its body: project, agent, trace, how long to wait."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from typing import Any, NoReturn

import structlog
from starlette.requests import Request

from api.call_meta import wait_in
from ltmc_jobs.errors import InvalidArguments, LtmcError, MalformedRequest
from ltmc_jobs.handling import ttl_in
from ltmc_jobs.queues.contract import ANONYMOUS, Principal, new_job_id
from ltmc_jobs.session import Session

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
DEPTH_LIMIT = 64  # objects and arrays within each other; no schema of ours is deeper than ten
PARTS_LIMIT = 200_000  # objects and arrays in all

log = structlog.get_logger("ltmc.api")


def session_of(request: Request, project: str) -> Session:
    """On whose behalf: `?project=` or X-LTMC-Project, else the given one; the request's id becomes the trace."""
    said = [request.query_params.get("project"), request.headers.get("x-ltmc-project")]
    sessions = [Session(named, principal_of(request.scope), request_id(request)) for named in (*said, project) if named]
    return sessions[0]  # made of each, so that a wrong one is refused, and not passed over


def request_id(request: Request) -> str:
    """The caller's X-Request-ID, or one of ours; the same for the whole request."""
    if "ltmc.request_id" not in request.scope:
        given = request.headers.get("x-request-id", "")
        request.scope["ltmc.request_id"] = given if REQUEST_ID.fullmatch(given) else new_job_id()
    return str(request.scope["ltmc.request_id"])


def principal_of(scope: Any) -> Principal:
    """The principal that the guard let in."""
    found = scope.get("ltmc.principal")
    return found if isinstance(found, Principal) else Principal(ANONYMOUS)


def wait_of(request: Request) -> float | None:
    """`?wait=` in seconds; None when absent."""
    given = request.query_params.get("wait")
    try:
        return wait_in(None if given is None else float(given), "wait")
    except ValueError:
        raise InvalidArguments("wait: a number of seconds", field="wait") from None


def ttl_of(request: Request) -> int | None:
    """`?ttl_ms=` in whole seconds; None when absent."""
    given = request.query_params.get("ttl_ms")
    return ttl_in(given if given is None or not given.isdecimal() else int(given), "ttl_ms")


async def json_of(request: Request, *, default: Any = None) -> Any:
    """The body as JSON; MalformedRequest for anything else."""
    body = await request.body()
    if not body.strip():
        return default
    return parse_json(body)


def parse_json(body: bytes) -> Any:
    """Strict JSON: no NaN or number without a value, no endless nesting, no broken text."""
    try:
        found = json.loads(body.decode("utf-8-sig"), parse_constant=_refuse, parse_float=_finite)
        if b"\\u" in body:  # half a surrogate pair cannot be written down again, here or in a store
            json.dumps(found, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise MalformedRequest("the body is not JSON") from None
    _require_shallow(found)
    return found


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    return number if math.isfinite(number) else _refuse(digits)


def _require_shallow(found: Any) -> None:
    """What is nested without end is valid JSON, but the walk through it would end at Python's own limit."""
    level, depth, parts = _containers([found]), 0, 0
    while level:
        depth, parts = depth + 1, parts + len(level)
        if depth > DEPTH_LIMIT or parts > PARTS_LIMIT:
            raise MalformedRequest(f"the JSON is nested deeper than {DEPTH_LIMIT} levels, or has too many parts")
        level = [inner for part in level for inner in _containers(part.values() if isinstance(part, dict) else part)]


def _containers(values: Iterable[Any]) -> list[dict[str, Any] | list[Any]]:
    return [value for value in values if isinstance(value, dict | list)]


def told(error: Exception, reference: str) -> dict[str, Any]:
    """An error as callers see it, with the id under which the log has it; anything unforeseen says only that."""
    if isinstance(error, LtmcError):
        # Not its words: they may repeat what the caller sent.
        log.info("call refused", request_id=reference, code=error.code, field=error.details.get("field"))
        return error.as_dict() | {"id": reference}
    log.error("call failed", request_id=reference, exc_info=error)
    return LtmcError("something went wrong on our side; the log has it under this id").as_dict() | {"id": reference}
