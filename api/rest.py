"""REST: tools and jobs as resources."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from fastapi.responses import JSONResponse

from api import openapi
from api.call_meta import NAME_LIMIT, CallMeta
from api.requests import json_of, session_of, ttl_of, wait_of
from api.tool_groups import group_of
from ltmc_jobs import registry
from ltmc_jobs.answer import Answer
from ltmc_jobs.client import Client
from ltmc_jobs.errors import InvalidArguments
from ltmc_jobs.form import Form
from ltmc_jobs.handling import priority_named
from ltmc_jobs.registry import Tool

JobId = Annotated[str, Path(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+$", description="The job's id")]


def router(client_of: Callable[[], Client], project: str) -> APIRouter:
    """The routes; `client_of()` is the process's client, `project` the one of callers who name none."""
    routes = APIRouter()

    @routes.get(
        "/tools", summary="All tools, with their schemas", tags=["tools"], responses=openapi.answers({"type": "object"})
    )
    async def list_tools() -> dict[str, Any]:
        shown = [described(form) for form in registry.forms()]
        modules, groups = (dict(Counter(tool[name] for tool in shown)) for name in ("module", "group"))
        return {"tools": shown, "count": len(shown), "modules": modules, "groups": groups}

    for form in registry.forms():
        routes.add_api_route(
            f"/tools/{form.name}",
            _tool_route(client_of, project, form.name),
            methods=["POST"],
            summary=form.description.splitlines()[0],
            tags=["tools"],
            operation_id=form.name,
            openapi_extra=openapi.tool_extra(form),
            responses=openapi.tool_answers(form),
        )

    @routes.post("/tools/{name}", include_in_schema=False)
    async def call_unlisted(request: Request, name: str) -> JSONResponse:
        """Under an older name, or what no list shows."""
        return await _call(client_of, project, registry.find(name).form, request)

    @routes.get(
        "/jobs",
        summary="The project's jobs, newest first",
        tags=["jobs"],
        openapi_extra=openapi.job_list_extra(),
        responses=openapi.tool_answers(registry.find("job_list").form),
    )
    async def list_jobs(request: Request) -> dict[str, Any]:
        known = registry.find("job_list").form.input_schema["properties"]
        given: dict[str, Any] = {name: value for name, value in request.query_params.items() if name in known}
        if "limit" in given:
            given["limit"] = _whole(given["limit"], "limit")
        return (await client_of().call("job_list", given, session_of(request, project))).as_dict()

    one_job: dict[str, Any] = {"tags": ["jobs"], "openapi_extra": {"parameters": openapi.PROJECT}}

    @routes.get(
        "/jobs/{job_id}", summary="Where a job stands", responses=openapi.answers(openapi.refer("Job")), **one_job
    )
    async def show_job(request: Request, job_id: JobId) -> dict[str, Any]:
        return (await client_of().call("job_status", {"job_id": job_id}, session_of(request, project))).as_dict()

    @routes.delete(
        "/jobs/{job_id}",
        summary="Cancel a job, or stop it while it runs",
        responses=openapi.tool_answers(registry.find("job_cancel").form),
        **one_job,
    )
    async def cancel_job(request: Request, job_id: JobId) -> dict[str, Any]:
        return (await client_of().call("job_cancel", {"job_id": job_id}, session_of(request, project))).as_dict()

    @routes.get(
        "/jobs/{job_id}/result",
        summary="A job's result, waited for with ?wait=SECONDS",
        tags=["jobs"],
        openapi_extra={"parameters": [openapi.WAIT, *openapi.PROJECT]},
        responses=openapi.with_handle({"type": "object"}),
    )
    async def job_result(request: Request, job_id: JobId) -> JSONResponse:
        asked = registry.find("job_result").form.accept({"job_id": job_id})
        session, wait = session_of(request, project), wait_of(request)
        return respond(await client_of().result(session, asked["job_id"], wait or 0.0))

    @routes.get(
        "/queues",
        summary="Jobs per queue and state, and the age of the oldest waiting",
        tags=["jobs"],
        responses=openapi.answers(openapi.queue_counts()),
    )
    async def show_queues() -> dict[str, Any]:
        return await client_of().queues()

    return routes


def described(form: Form) -> dict[str, Any]:
    """A tool as lists show it, with the tiers of memory that it needs."""
    found = registry.find(form.name)
    return {
        "name": form.name,
        "description": form.description,
        "module": form.module,
        "group": group_of(form.name),
        "tiers": [tier.value for tier in found.tiers] if isinstance(found, Tool) else [],
        "inputSchema": form.input_schema,
        "outputSchema": form.output_schema,
    }


def respond(answer: Answer) -> JSONResponse:
    """200 with the result, or 202 with the job's handle and its Location."""
    if answer.is_handle:
        return JSONResponse(answer.as_dict(), 202, headers={"Location": f"/jobs/{answer.job_id}/result"})
    return JSONResponse(answer.as_dict())


def _tool_route(client_of: Callable[[], Client], project: str, name: str) -> Any:
    async def call(request: Request) -> JSONResponse:
        return await _call(client_of, project, registry.find(name).form, request)

    return call


async def _call(client_of: Callable[[], Client], project: str, form: Form, request: Request) -> JSONResponse:
    arguments = await json_of(request, default={})
    session = session_of(request, project)
    meta = CallMeta(
        idempotency_key=_key(request),
        priority=priority_named(request.query_params.get("priority"), "priority"),
        ttl_seconds=ttl_of(request),
    )
    handling = meta.handling(session, form)
    return respond(
        await client_of().call(form.name, arguments, session, wait_seconds=wait_of(request), handling=handling)
    )


def _key(request: Request) -> str | None:
    given = request.headers.get("idempotency-key")
    if given is not None and not 0 < len(given) <= NAME_LIMIT:
        raise InvalidArguments(f"Idempotency-Key has 1 to {NAME_LIMIT} characters", field="Idempotency-Key")
    return given


def _whole(text: str, field: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise InvalidArguments(f"{field}: a whole number", field=field) from None
