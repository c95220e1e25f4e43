"""JSON-RPC 2.0 at POST /jsonrpc: `tools/list`, `tools/call`, or a tool's own name as the method."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from api import openapi
from api.call_meta import CallMeta
from api.requests import parse_json, request_id, session_of, told, wait_of
from api.rest import described
from ltmc_jobs import registry
from ltmc_jobs.client import Client
from ltmc_jobs.errors import InvalidArguments, InvalidCall, LtmcError, MalformedRequest

BATCH_LIMIT = 100


def router(client_of: Callable[[], Client], project: str) -> APIRouter:
    """The one route; `client_of()` is the process's client."""
    routes = APIRouter()

    batch: dict[str, Any] = {"type": "array", "minItems": 1, "maxItems": BATCH_LIMIT}
    one, answer = openapi.refer("JsonRpcRequest"), openapi.refer("JsonRpcResponse")
    schema = {"oneOf": [one, batch | {"items": one}]}

    @routes.post(
        "/jsonrpc",
        summary="JSON-RPC 2.0: tools/list, tools/call, or a tool's name",
        tags=["tools"],
        openapi_extra={
            "parameters": [*openapi.PROJECT, openapi.WAIT],
            "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
        },
        responses=openapi.answers({"oneOf": [answer, batch | {"items": answer}]}, "Errors are answered so, too")
        | {204: {"description": "Only notifications: there is nothing to answer"}},
    )
    async def jsonrpc(request: Request) -> Response:
        body = await request.body()
        try:
            asked = parse_json(body)
        except MalformedRequest as error:
            return JSONResponse(_failed(None, error, request_id(request), code=-32700))
        caller = _Caller(client_of, request, project)
        if isinstance(asked, list) and 0 < len(asked) <= BATCH_LIMIT:
            answers = await asyncio.gather(*(caller.answer(one) for one in asked))
            given = [answer for answer in answers if answer is not None]
            return JSONResponse(given) if given else Response(status_code=204)
        answer = await caller.answer(asked)
        return JSONResponse(answer) if answer is not None else Response(status_code=204)

    return routes


class _Caller:
    """Answers the requests of one HTTP request."""

    def __init__(self, client_of: Callable[[], Client], request: Request, project: str) -> None:
        self._client_of = client_of
        self._request = request
        self._project = project

    async def answer(self, asked: Any) -> dict[str, Any] | None:
        """The response object; None for a notification."""
        identified = isinstance(asked, dict) and "id" in asked
        answered = asked["id"] if identified and _is_id(asked["id"]) else None
        notification = isinstance(asked, dict) and not identified and _fault(asked) is None
        try:
            fault = _fault(asked)
            if fault is not None:
                raise InvalidCall(fault)
            result = await self._result(asked["method"], asked.get("params", {}), 0 if notification else None)
        except Exception as error:
            failed = _failed(answered, error, request_id(self._request))
            return None if notification else failed
        return None if notification else {"jsonrpc": "2.0", "id": answered, "result": result}

    async def _result(self, method: str, params: Any, wait: float | None) -> Any:
        if isinstance(params, list) and params:
            raise InvalidArguments("params: name the arguments, {name: value, …}", field="params")
        given = params or {}
        if method == "tools/list":
            return {"tools": [described(form) for form in registry.forms()]}
        name, arguments = (_named(given)) if method == "tools/call" else (method, given)
        meta = CallMeta.read(given.get("_meta") if method == "tools/call" else None)
        session = meta.applied(session_of(self._request, self._project))
        waits = (wait, meta.wait_seconds, wait_of(self._request))
        answer = await self._client_of().call(
            name,
            arguments,
            session,
            wait_seconds=next((seconds for seconds in waits if seconds is not None), None),
            handling=meta.handling(session, registry.find(name).form),
        )
        return answer.as_dict()


def _named(params: dict[str, Any]) -> tuple[str, Any]:
    if not isinstance(params.get("name"), str):
        raise InvalidArguments("params.name: the tool's name is required", field="params.name")
    try:
        registry.find(params["name"])
    except LtmcError as error:
        raise InvalidArguments(str(error), field="params.name") from None
    return params["name"], params.get("arguments", {})


def _fault(asked: Any) -> str | None:
    if not isinstance(asked, dict):
        return f"a request is an object, or a batch of 1 to {BATCH_LIMIT} of them"
    if asked.get("jsonrpc") != "2.0":
        return 'jsonrpc must be "2.0"'
    if not isinstance(asked.get("method"), str):
        return "method must be a string"
    if "id" in asked and not _is_id(asked["id"]):
        return "id must be a string, a number or null"
    if not isinstance(asked.get("params", {}), dict | list):
        return "params must be an object or an array"
    return None


def _is_id(value: Any) -> bool:
    return value is None or (isinstance(value, str | int | float) and not isinstance(value, bool))


def _failed(answered: Any, error: Exception, reference: str, code: int | None = None) -> dict[str, Any]:
    shown = told(error, reference)
    number = code if code is not None else error.jsonrpc if isinstance(error, LtmcError) else -32603
    data = {name: value for name, value in shown.items() if name != "message"}
    return {"jsonrpc": "2.0", "id": answered, "error": {"code": number, "message": shown["message"], "data": data}}
