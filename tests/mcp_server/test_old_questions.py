"""What a job asks, put to clients before 2026-07-28: on the connection, and over HTTP with no session in memory."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import httpx2
import mcp_types as types
import pytest
from mcp import Client as McpClient
from pydantic import BaseModel

from api.mcp.server import build
from ltmc_jobs.client import Client
from ltmc_jobs.queues.contract import Principal
from ltmc_jobs.session import Session
from ltmc_jobs.settings import Settings

ACCEPT = {"Accept": "application/json, text/event-stream"}


def old_client(over: str, client: Client, served: Settings, over_http: str, answer: Any) -> McpClient:
    """A client of the old wire that answers every form so."""

    async def elicit(_ctx: Any, _params: types.ElicitRequestParams) -> Any:
        return answer

    server = build(lambda: client, served, principal=Principal("stdio")) if over == "connection" else f"{over_http}/mcp"
    return McpClient(server, mode="legacy", elicitation_callback=elicit)


@pytest.mark.parametrize("over", ["connection", "http"])
async def test_an_old_client_is_asked_within_the_call(
    client: Client, served: Settings, over_http: str, over: str
) -> None:
    """Two rounds of questions, and the result is the call's own."""
    content = {"name": "Ann", "place": "Oslo", "sure": True}
    yes = types.ElicitResult(action="accept", content=content)
    async with old_client(over, client, served, over_http, yes) as host:
        result = await host.call_tool("wonder", {})
    assert result.structured_content["text"] == "Ann Oslo True"


class Told(BaseModel, extra="allow"):
    """Any result."""


class Asked(types.Request[dict[str, Any], str]):
    """A request of the tasks of 2025-11-25, which the SDK knows no more."""

    method: str
    params: dict[str, Any]


@pytest.mark.parametrize("over", ["connection", "http"])
async def test_a_task_of_2025_asks_while_its_result_is_waited_for(
    client: Client, served: Settings, over_http: str, over: str
) -> None:
    """Two rounds of questions again, each within tasks/result."""
    yes = types.ElicitResult(action="accept", content={"name": "Ann", "place": "Oslo", "sure": True})
    async with old_client(over, client, served, over_http, yes) as host:
        handle = (await host.call_tool("wonder", {}, meta={"ltmc/wait": 0})).structured_content  # its job is a task too
        result = Asked(method="tasks/result", params={"taskId": handle["job_id"]})
        told = (await asyncio.wait_for(host.session.send_request(result, Told), 15)).model_dump()
    assert told["structuredContent"]["text"] == "Ann Oslo True"


@pytest.mark.parametrize("over", ["connection", "http"])
async def test_an_error_of_the_client_s_is_a_decline(
    client: Client, served: Settings, over_http: str, over: str
) -> None:
    no = types.ErrorData(code=-1, message="no user here")
    async with old_client(over, client, served, over_http, no) as host:
        assert (await host.call_tool("wonder_apart", {})).structured_content["text"] == "decline"


async def test_who_cannot_answer_has_the_handle(client: Client, served: Settings, over_http: str) -> None:
    """An old client without elicitation: job_answer is there for its model."""
    async with McpClient(f"{over_http}/mcp", mode="legacy") as host:
        handle = (await host.call_tool("wonder_apart", {})).structured_content["job"]
        assert handle["status"] == "input_required"
        await host.call_tool("job_answer", {"job_id": handle["job_id"], "answers": {"name": {"name": "Bo"}}})
        done = await host.call_tool("job_result", {"job_id": handle["job_id"]})
    assert done.structured_content["text"] == "Bo"


async def test_a_session_s_id_is_signed_and_a_stranger_s_is_lost(over_http: str) -> None:
    """What a client can do travels in the id: one made up or altered is no session, so the client begins anew."""
    async with httpx2.AsyncClient(base_url=over_http, headers=ACCEPT, timeout=20) as web:
        named = (await web.post("/mcp", json=hello({"elicitation": {}}))).headers["mcp-session-id"]
        asked = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}
        version = {"mcp-protocol-version": "2025-11-25"}

        async def status(session: str) -> int:
            headers = version | {"mcp-session-id": session}
            return int((await web.post("/mcp", json=asked, headers=headers)).status_code)

        assert await status(named) == 200
        told, _, signature = named.partition(".")
        names, number = json.loads(base64.urlsafe_b64decode(told + "=" * (-len(told) % 4)))
        more = base64.urlsafe_b64encode(json.dumps([[*names, "sampling"], number]).encode()).decode().rstrip("=")
        for wrong in (f"{more}.{signature}", told, "x", f"{told}.", f"{told}.{signature}.x", "é".encode().hex()):
            assert await status(wrong) == 404
        assert (await web.get("/mcp", headers=version | {"Accept": "text/event-stream"})).status_code == 405
        gone = await web.get("/mcp", headers=version | {"Accept": "text/event-stream", "mcp-session-id": "x"})
        assert gone.status_code == 404


async def test_a_reply_that_nobody_waits_for_changes_nothing(over_http: str, client: Client, served: Settings) -> None:
    """Strange ids, strange jobs, answers of the wrong shape."""
    job = await client.call("wonder", {}, Session(served.project), wait_seconds=5)
    assert job.questions
    key = next(iter(job.questions))
    ids = [
        5,
        None,
        "ltmc/a",
        "ltmc/default/none/x",
        f"ltmc/elsewhere/{job.job_id}/{key}",
        f"ltmc/default/{job.job_id}/x",
    ]
    wrong = {"jsonrpc": "2.0", "id": f"ltmc/default/{job.job_id}/{key}", "result": {"action": "perhaps"}}
    async with httpx2.AsyncClient(base_url=over_http, headers=ACCEPT, timeout=20) as web:
        for said in [*({"jsonrpc": "2.0", "id": one, "result": {"action": "accept"}} for one in ids), wrong]:
            assert (await web.post("/mcp", json=said)).status_code == 202
        assert (await client.job(Session(served.project), str(job.job_id))).questions == job.questions
        declined = wrong | {"result": {"action": "decline"}}
        assert (await web.post("/mcp", json=declined)).status_code == 202
    assert (await client.job(Session(served.project), str(job.job_id))).questions != job.questions


def hello(capabilities: dict[str, Any]) -> dict[str, Any]:
    params = {
        "protocolVersion": "2025-11-25",
        "capabilities": capabilities,
        "clientInfo": {"name": "raw", "version": "1"},
    }
    return {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}
