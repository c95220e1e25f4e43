"""What a request says beside its body: project, agent, trace, how long to wait."""

from __future__ import annotations

import json
import re
from typing import Any

import structlog
from starlette.requests import Request

from api.security import principal_of
from ltmc_jobs.client import Session
from ltmc_jobs.errors import InvalidArguments, LtmcError, MalformedRequest
from ltmc_jobs.queues.contract import new_job_id

REQUEST_ID = re.compile(r"^[A-Za-z0-9._-]{1,64}$")

log = structlog.get_logger("ltmc.api")


def session_of(request: Request, project: str) -> Session:
    """On whose behalf: `?project=` or X-LTMC-Project, else the given one; the request's id becomes the trace."""
    named = request.query_params.get("project") or request.headers.get("x-ltmc-project") or project
    return Session(named, principal_of(request.scope), request_id(request))


def request_id(request: Request) -> str:
    """The caller's X-Request-ID, or one of ours; the same for the whole request."""
    if "ltmc.request_id" not in request.scope:
        given = request.headers.get("x-request-id", "")
        request.scope["ltmc.request_id"] = given if REQUEST_ID.match(given) else new_job_id()
    return str(request.scope["ltmc.request_id"])


def wait_of(request: Request) -> float | None:
    """`?wait=` in seconds; None when absent."""
    given = request.query_params.get("wait")
    try:
        wait = None if given is None else float(given)
    except ValueError:
        raise InvalidArguments("wait: a number of seconds", field="wait") from None
    if wait is not None and not 0 <= wait <= 45:
        raise InvalidArguments("wait: 0 to 45 seconds", field="wait")
    return wait


async def json_of(request: Request, *, default: Any = None) -> Any:
    """The body as JSON; MalformedRequest for anything else."""
    body = await request.body()
    if not body.strip():
        return default
    return parse_json(body)


def parse_json(body: bytes) -> Any:
    """Strict JSON: no NaN, no endless nesting, no broken text."""
    try:
        return json.loads(body, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise MalformedRequest("the body is not JSON") from None


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def told(error: Exception, reference: str) -> dict[str, Any]:
    """An error as callers see it, with the id under which the log has it; anything unforeseen says only that."""
    if isinstance(error, LtmcError):
        log.info("call refused", request_id=reference, code=error.code, error=str(error))
        return error.as_dict() | {"id": reference}
    log.error("call failed", request_id=reference, exc_info=error)
    return LtmcError("something went wrong on our side; the log has it under this id").as_dict() | {"id": reference}
