"""A job that asks: it holds no worker while it waits, and goes on under the same id when it has its answers."""

from __future__ import annotations

from typing import Any

import pytest
from mcp import Client as McpClient

from ltmc_jobs.client import Client
from tests.mcp_server.conftest import error_of
from tests.mcp_server.test_tasks import until
from tests.mcp_server.wire import TASKS, Wire

ACCEPTED: dict[str, Any] = {"action": "accept"}
FORMS = {"elicitation": {}}


def accepted(**content: Any) -> dict[str, Any]:
    return ACCEPTED | {"content": content}


async def test_a_task_asks_and_takes_its_answers_one_by_one(over_http: str) -> None:
    """tasks/update: part of the answers leaves the rest asked; what was not asked is ignored; keys never come twice."""
    wire = Wire(over_http)
    task_id = (await wire.call("wonder", wait=0))["taskId"]
    asks = await until(wire, task_id, "input_required")
    assert set(asks["inputRequests"]) == {"name", "place"}
    assert asks["inputRequests"]["name"]["method"] == "elicitation/create"
    await wire.result("tasks/update", {"taskId": task_id, "inputResponses": {"name": accepted(name="Ann"), "no": {}}})
    assert set((await wire.result("tasks/get", {"taskId": task_id}))["inputRequests"]) == {"place"}
    await wire.result("tasks/update", {"taskId": task_id, "inputResponses": {"place": accepted(place="Bonn")}})
    more = await until(wire, task_id, "input_required")
    assert set(more["inputRequests"]) == {"sure"}
    await wire.result("tasks/update", {"taskId": task_id, "inputResponses": {"sure": accepted(sure=True)}})
    done = await until(wire, task_id)
    assert (done["status"], done["result"]["structuredContent"]["text"]) == ("completed", "Ann Bonn True")
    assert done["result"]["structuredContent"]["job_id"] == task_id


async def test_a_job_that_asks_holds_no_worker(over_http: str, client: Client) -> None:
    """The one worker answers others meanwhile; RQ's readers see a deferred job; cancelled, it asks no more."""
    wire = Wire(over_http)
    task_id = (await wire.call("wonder", wait=0))["taskId"]
    await until(wire, task_id, "input_required")
    assert (await wire.call("say", {"text": "x"}))["structuredContent"]["text"] == "x"
    assert await client.shared.async_redis.zscore("rq:deferred:default", task_id) is not None
    assert await client.shared.async_redis.hget(f"rq:job:{task_id}", "status") == b"deferred"
    await wire.result("tasks/cancel", {"taskId": task_id})
    ended = await until(wire, task_id)
    assert (ended["status"], "inputRequests" in ended) == ("cancelled", False)
    assert await client.shared.async_redis.zscore("rq:deferred:default", task_id) is None


async def test_a_call_comes_again_with_what_was_asked(over_http: str) -> None:
    """MRTR, with a job in a process of its own: the state is signed, for this call and this round alone."""
    wire = Wire(over_http, capabilities=FORMS)
    asks = await wire.call("wonder_apart")
    assert (asks["resultType"], set(asks["inputRequests"])) == ("input_required", {"name"})
    again = {"name": "wonder_apart", "arguments": {}, "requestState": asks["requestState"]}
    wrong = again | {"requestState": f"{asks['requestState']}x", "inputResponses": {"name": accepted(name="Eve")}}
    for state in (wrong["requestState"], "", "..", "é.é.é", asks["requestState"].partition(".")[0]):
        assert (await wire.error("tools/call", wrong | {"requestState": state}))["code"] == -32602
    assert (await wire.error("tools/call", again | {"name": "say"}))["code"] == -32602
    assert (await Wire(over_http, capabilities=FORMS, project="other").error("tools/call", again))["code"] == -32602
    assert (await wire.result("tools/call", again | {"inputResponses": {}}))["resultType"] == "input_required"
    done = await wire.result("tools/call", again | {"inputResponses": {"name": accepted(name="Ann")}})
    assert done["structuredContent"]["text"] == "Ann"


async def test_what_is_asked_first_goes_before_the_task(over_http: str) -> None:
    """A client with tasks too is asked within the call, and has a task or the result thereafter."""
    wire = Wire(over_http, capabilities=TASKS | FORMS)
    asks = await wire.call("wonder_apart", wait=10)
    assert "taskId" not in asks
    params = {"name": "wonder_apart", "arguments": {}, "requestState": asks["requestState"]}
    done = await wire.result("tools/call", params | {"inputResponses": {"name": {"action": "decline"}}})
    if "taskId" in done:  # it was not done within the time of grace
        done = (await until(wire, done["taskId"]))["result"]
    assert done["structuredContent"]["text"] == "decline"


async def test_who_cannot_be_asked_has_the_handle_and_job_answer(host: McpClient) -> None:
    """The model answers in its client's stead: wrong answers name the field, right ones let the job go on."""
    handle = (await host.call_tool("wonder")).structured_content["job"]
    assert (handle["status"], set(handle["questions"])) == ("input_required", {"name", "place"})
    job_id = handle["job_id"]
    assert "job_answer" in handle["next"]
    shown = (await host.call_tool("job_status", {"job_id": job_id})).structured_content
    assert (shown["status"], set(shown["questions"])) == ("input_required", {"name", "place"})
    listed = (await host.call_tool("job_list", {"status": "input_required", "tool": "wonder"})).structured_content
    assert job_id in [job["job_id"] for job in listed["jobs"]]

    async def answered(**answers: Any) -> Any:
        return await host.call_tool("job_answer", {"job_id": job_id, "answers": answers})

    assert error_of(await answered(name={"name": 7}))["details"] == {"field": "answers.name"}
    assert error_of(await answered(age={"age": 7}))["details"] == {"field": "answers"}
    assert (await answered(name={"name": "Ann"})).structured_content["left"] == ["place"]
    assert (await answered(place=accepted(place="Bonn"))).structured_content["left"] == []
    asks = (await host.call_tool("job_result", {"job_id": job_id})).structured_content["job"]
    assert set(asks["questions"]) == {"sure"}
    await answered(sure={"sure": False})
    assert (await host.call_tool("job_result", {"job_id": job_id})).structured_content["text"] == "Ann Bonn False"
    assert error_of(await answered(sure={"sure": True}))["code"] == "conflict"


async def test_what_only_the_client_could_answer_is_refused(over_http: str) -> None:
    """-32021 names what lacks, and the job is not left waiting."""
    wire = Wire(over_http, capabilities=FORMS)
    refused = await wire.error("tools/call", {"name": "want_model", "arguments": {}})
    assert (refused["code"], refused["data"]) == (-32021, {"requiredCapabilities": {"sampling": {}}})
    jobs = (await wire.call("job_list", {"tool": "want_model"}))["structuredContent"]["jobs"]
    assert {job["status"] for job in jobs} == {"canceled"}


async def test_a_forged_answer_is_refused(over_http: str, client: Client) -> None:
    wire = Wire(over_http)
    task_id = (await wire.call("wonder", wait=0))["taskId"]
    asks = await until(wire, task_id, "input_required")
    redis = client.shared.async_redis
    given = {"name": accepted(name="Ann"), "place": accepted(place="Bonn")}
    await redis.hset(f"rq:job:{task_id}", "ltmc_answer:sure", '0123abcd:00 {"action": "accept"}')
    assert asks["status"] == "input_required"
    await wire.result("tasks/update", {"taskId": task_id, "inputResponses": given})
    ended = await until(wire, task_id)
    assert (ended["status"], ended["error"]["data"]["reason"]) == ("failed", "envelope_refused")


@pytest.mark.parametrize("first", ["name", "place"])
async def test_the_last_answer_enqueues_once(over_http: str, client: Client, first: str) -> None:
    """Whoever is second finds nothing to answer."""
    task_id = (await Wire(over_http).call("wonder", wait=0))["taskId"]
    wire = Wire(over_http)
    await until(wire, task_id, "input_required")
    other = {"name": "place", "place": "name"}[first]
    given = {one: accepted(**{one: "x"}) for one in (first, other)}
    await wire.result("tasks/update", {"taskId": task_id, "inputResponses": {first: given[first]}})
    for _ in range(2):
        await wire.result("tasks/update", {"taskId": task_id, "inputResponses": given})
    assert set((await until(wire, task_id, "input_required"))["inputRequests"]) == {"sure"}
    assert (await client.shared.async_queue.status(task_id)).attempts == 0
    await wire.result("tasks/cancel", {"taskId": task_id})
