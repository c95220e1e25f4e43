"""Tasks of 2026-07-28: a call that takes longer than its grace is a task, and the task is the job."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.mcp_server.wire import OLD, Wire

ENDED = ("completed", "failed", "cancelled")


async def until(wire: Wire, task_id: str, *statuses: str) -> dict[str, Any]:
    """The task when it is in one of these states."""
    for _ in range(200):
        task = await wire.result("tasks/get", {"taskId": task_id})
        if task["status"] in (statuses or ENDED):
            return task
        await asyncio.sleep(0.05)
    raise AssertionError(task)


async def test_a_short_call_is_answered_and_a_long_one_is_a_task(over_http: str) -> None:
    wire = Wire(over_http)
    short = await wire.call("say", {"text": "x"})
    assert (short["resultType"], short["structuredContent"]["text"]) == ("complete", "x")
    task = await wire.call("dawdle", {"seconds": 0.8}, wait=0.3)
    assert (task["resultType"], task["status"], task["pollIntervalMs"]) == ("task", "working", 500)
    assert isinstance(task["ttlMs"], int)
    assert "requestState" not in task
    found = await wire.result("tasks/get", {"taskId": task["taskId"]})
    assert (found["status"], found["statusMessage"]) == ("working", "1 of 2 half of it")
    ended = await until(wire, task["taskId"])
    assert (ended["status"], ended["result"]["structuredContent"]["text"]) == ("completed", "late")
    assert ended["result"]["isError"] is False
    assert ended["createdAt"] == task["createdAt"] < ended["lastUpdatedAt"]


async def test_who_declares_no_tasks_never_sees_one(over_http: str) -> None:
    """A handle that job_result takes instead; and the task methods are refused, each gate by itself."""
    plain, wire = Wire(over_http, capabilities={}), Wire(over_http)
    handle = await plain.call("dawdle", {"seconds": 0.5}, wait=0.1)
    assert handle["structuredContent"]["job"]["status"] in ("queued", "started")
    params = {"taskId": handle["structuredContent"]["job_id"]}
    refused = await plain.error("tasks/get", params)
    assert (refused["code"], refused["data"]["requiredCapabilities"]) == (
        -32021,
        {"extensions": {"io.modelcontextprotocol/tasks": {}}},
    )
    assert (await wire.error("tasks/get", params, **{"Mcp-Name": "another"}))["code"] == -32020
    for method in ("tasks/list", "tasks/result"):
        assert (await wire.error(method, params))["code"] == -32601
    assert (await Wire(over_http, OLD).error("tasks/update", params | {"inputResponses": {}}))["code"] == -32601
    assert (await wire.error("tasks/get", {}, **{"Mcp-Name": "x"}))["code"] == -32602


async def test_foreign_unknown_and_cancelled_ids_look_the_same(over_http: str) -> None:
    """Two principals are two projects here: none reads, cancels or answers across."""
    mine, other = Wire(over_http, project="mine"), Wire(over_http, project="other")
    task_id = (await mine.call("dawdle", {"seconds": 20}, wait=0))["taskId"]
    unknown = "0" * 8
    for method, more in (("tasks/get", {}), ("tasks/cancel", {}), ("tasks/update", {"inputResponses": {"a": {}}})):
        foreign = await other.error(method, {"taskId": task_id, **more})
        nobody = await other.error(method, {"taskId": unknown, **more})
        assert foreign["code"] == nobody["code"] == -32602
        assert foreign["message"].replace(task_id, "X") == nobody["message"].replace(unknown, "X")
    assert (await mine.result("tasks/get", {"taskId": task_id}))["status"] == "working"
    await mine.result("tasks/cancel", {"taskId": task_id})


async def test_a_tool_that_fails_has_completed_and_a_lost_job_has_failed(over_http: str) -> None:
    wire = Wire(over_http)
    refused = await until(wire, (await wire.call("refuse", wait=0))["taskId"])
    assert (refused["status"], refused["result"]["isError"]) == ("completed", True)
    assert refused["result"]["structuredContent"]["error"]["code"] == "conflict"
    lost = await until(wire, (await wire.call("vanish", wait=0))["taskId"])
    assert (lost["status"], lost["error"]["code"]) == ("failed", -32603)
    assert lost["error"]["data"] == {"job_id": lost["taskId"], "reason": "job_lost", "attempts": 1}


async def test_a_cancelled_task_is_cancelled_however_often(over_http: str) -> None:
    wire = Wire(over_http)
    task_id = (await wire.call("meddle", {"seconds": 20}, wait=0.3))["taskId"]
    for _ in range(2):
        assert (await wire.result("tasks/cancel", {"taskId": task_id}))["resultType"] == "complete"
    assert (await until(wire, task_id))["status"] == "cancelled"
    await wire.result("tasks/cancel", {"taskId": task_id})


async def test_who_asks_too_often_hears_what_was_found_last(over_http: str) -> None:
    wire = Wire(over_http)
    task_id = (await wire.call("dawdle", {"seconds": 1}, wait=0.2))["taskId"]
    first, second = [await wire.result("tasks/get", {"taskId": task_id}) for _ in range(2)]
    assert first == second
    await until(wire, task_id, "completed")


async def test_what_becomes_of_a_task_is_told(over_http: str) -> None:
    """notifications/tasks on a stream of subscriptions/listen: acknowledged first, then whole tasks to the end."""
    wire = Wire(over_http)
    task_id = (await wire.call("dawdle", {"seconds": 0.8}, wait=0.1))["taskId"]
    foreign = (await Wire(over_http, project="other").call("dawdle", {"seconds": 0.1}, wait=0))["taskId"]
    heard = []
    params = {"notifications": {"taskIds": [task_id, foreign]}}
    async with asyncio.timeout(10), wire.asked("subscriptions/listen", params) as messages:
        async for message in messages:
            heard.append(message)
            if message["params"].get("status") == "completed":
                break
    assert heard[0]["method"] == "notifications/subscriptions/acknowledged"
    assert heard[0]["params"]["notifications"] == {"taskIds": [task_id]}
    assert {message["method"] for message in heard[1:]} == {"notifications/tasks"}
    told = [message["params"] for message in heard[1:]]
    assert told[0]["status"] == "working"
    assert told[-1]["result"]["structuredContent"]["text"] == "late"
    subscription = "io.modelcontextprotocol/subscriptionId"
    assert len({str(message["params"]["_meta"][subscription]) for message in heard}) == 1
    assert foreign not in str(heard)


async def test_one_stream_tells_of_no_more_than_it_can(over_http: str) -> None:
    """Each job that is named costs a look at Redis: so many tasks and jobs, and no more."""
    wire = Wire(over_http)
    for named in ({"taskIds": ["x"] * 101}, {"resourceSubscriptions": [f"ltmc://job/{at}" for at in range(101)]}):
        assert (await wire.error("subscriptions/listen", {"notifications": named}))["code"] == -32602


async def test_tasks_of_2025(over_http: str) -> None:
    """The client asks for a task; tasks/result waits for its end; a second cancel is an error."""
    wire = Wire(over_http, OLD)
    asked = {"name": "dawdle", "arguments": {"seconds": 0.5}, "task": {"ttl": 90_000}}
    task = (await wire.result("tools/call", asked))["task"]
    assert (task["status"], task["pollInterval"]) == ("working", 500)
    assert (await wire.result("tasks/get", {"taskId": task["taskId"]}))["status"] == "working"
    result = await wire.result("tasks/result", {"taskId": task["taskId"]})
    assert result["structuredContent"]["text"] == "late"
    assert result["_meta"]["io.modelcontextprotocol/related-task"] == {"taskId": task["taskId"]}
    ended = await wire.result("tasks/get", {"taskId": task["taskId"]})
    assert ended["status"] == "completed"
    assert 90_000 <= ended["ttl"] < 100_000
    assert task["taskId"] in [one["taskId"] for one in (await wire.result("tasks/list"))["tasks"]]
    assert (await wire.error("tasks/cancel", {"taskId": task["taskId"]}))["code"] == -32602
    running = (await wire.result("tools/call", {"name": "meddle", "arguments": {"seconds": 9}, "task": {}}))["task"]
    assert (await wire.result("tasks/cancel", {"taskId": running["taskId"]}))["status"] == "cancelled"
    refused = await wire.error("tools/call", {"name": "say", "arguments": {}, "task": {}})
    assert (refused["code"], refused["data"]["details"]["field"]) == (-32602, "text")
    assert (await wire.error("tools/call", {"name": "job_list", "arguments": {}, "task": {}}))["code"] == -32601


@pytest.mark.parametrize(("version", "offered"), [(OLD, True), ("2025-06-18", False)])
async def test_tasks_are_offered_to_those_who_know_them(over_http: str, version: str, offered: bool) -> None:
    hello = {"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    capabilities = (await Wire(over_http, version).result("initialize", hello))["capabilities"]
    assert ("tasks" in capabilities) is offered
    listed = {tool["name"]: tool for tool in (await Wire(over_http, OLD).result("tools/list"))["tools"]}
    assert listed["say"]["execution"] == {"taskSupport": "optional"}
    assert "execution" not in listed["job_result"]
    modern = await Wire(over_http).result("server/discover")
    assert "io.modelcontextprotocol/tasks" in modern["capabilities"]["extensions"]
