"""How the platform works, one concept a test. Read this first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

import pytest

from ltmc_jobs.client import Client
from ltmc_jobs.errors import InvalidArguments, NotFound, UnknownMethod
from ltmc_jobs.handling import Handling
from ltmc_jobs.queues.contract import Principal
from ltmc_jobs.session import Session
from ltmc_jobs.settings import Settings
from ltmc_jobs.shared import Shared
from tests.fleet import WorkerProcesses, open_installation

T = TypeVar("T")
HERE = Session("default", Principal("test", agent_id="reader"), "trace-1")
GREETING = {"file_name": "a.md", "content": "Hello.", "wait_for": "searchable"}


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Settings, WorkerProcesses]]:
    """A private server and three worker processes, without a front end."""
    from tests.conftest import build_settings, free_port
    from workers.server import EmbeddedServer

    settings = build_settings(tmp_path_factory.mktemp("home"), REDIS_PORT=free_port())
    with EmbeddedServer(settings):
        open_installation(settings).close()
        fleet = WorkerProcesses(settings)
        fleet.start("default", pool="calls")
        fleet.start("embedding", pool="embedding")
        fleet.start("vectors", "graph", pool="stores")
        yield settings, fleet
        fleet.stop()


@pytest.fixture
def run(installation: tuple[Settings, WorkerProcesses]) -> Callable[[Callable[[Client], Coroutine[Any, Any, T]]], T]:
    """`run(lambda client: …)`: what the coroutine gives, with a client of its own."""

    def runs(body: Callable[[Client], Coroutine[Any, Any, T]]) -> T:
        async def inside() -> T:
            shared = Shared.open(installation[0])
            try:
                client = Client(shared)
                await asyncio.to_thread(_until_live, client)
                return await body(client)
            finally:
                await shared.aclose()

        return asyncio.run(inside())

    return runs


def _until_live(client: Client) -> None:
    from tests.conftest import wait_until

    wait_until(lambda: all(client.shared.heartbeats.live(["default", "embedding", "vectors", "graph"]).values()))


def test_a_call_becomes_a_job_and_its_result_comes_back(run: Callable[..., Any]) -> None:
    """The client validates, enqueues, waits; a worker runs the function; the answer carries the job's id."""
    answer = run(lambda client: client.call("store_memory", GREETING, HERE))
    shown = answer.as_dict()
    assert shown["success"] is True
    assert shown["job_id"] == answer.job_id
    assert shown["state"] == "searchable"


def test_without_a_wait_the_answer_is_a_handle(run: Callable[..., Any]) -> None:
    """The handle leads to the result, whenever that comes."""

    async def body(client: Client) -> tuple[dict[str, Any], dict[str, Any]]:
        arguments = {"file_name": "b.md", "content": "Later."}
        handle = await client.call("store_memory", arguments, HERE, wait_seconds=0)
        answer = await client.call("job_result", {"job_id": handle.job_id}, HERE)
        return handle.as_dict(), answer.as_dict()

    handle, answer = run(body)
    assert handle["job"]["tool"] == "store_memory"
    assert handle["job"]["status"] == "queued"
    assert answer["file_name"] == "b.md"


def test_a_wrong_call_is_refused_before_anything_is_enqueued(run: Callable[..., Any]) -> None:
    """T06: the published schema is the one that is enforced, and the error names the field."""

    async def body(client: Client) -> list[int]:
        for tool, arguments, field in (
            ("store_memory", {"file_name": "c.md"}, "content"),
            ("store_memory", {"file_name": "c.md", "content": 5}, "content"),
            ("store_memory", {"file_name": "c.md", "content": "x", "colour": "red"}, "colour"),
            ("retrieve_memory", {"query": "x", "top_k": 0}, "top_k"),
            ("store_memory", [], ""),
        ):
            with pytest.raises(InvalidArguments) as caught:
                await client.call(tool, arguments, HERE)
            assert caught.value.details["field"] == field
        with pytest.raises(UnknownMethod, match="stroe_memory"):
            await client.call("stroe_memory", {}, HERE)
        return [len(client.shared.queue.list(project="refused"))]

    assert run(body) == [0]


def test_the_same_job_id_is_the_same_call(run: Callable[..., Any]) -> None:
    """A caller who repeats a call under its id gets the one job."""
    job_id = "0199aaaa-0000-7000-8000-000000000001"

    async def body(client: Client) -> list[Any]:
        arguments = {"file_name": "d.md", "content": "Once."}
        return [
            (await client.call("store_memory", arguments, HERE, handling=Handling(job_id=job_id))).as_dict()
            for _ in range(2)
        ]

    first, second = run(body)
    assert first == second


def test_jobs_follow_from_a_call_and_can_be_waited_for(run: Callable[..., Any]) -> None:
    """`wait_for` is an argument of the platform: the front end waits for a following job, no worker does."""
    arguments = {"file_name": "e.md", "content": "Bees dance to tell where the flowers are.", "wait_for": "linked"}
    shown = run(lambda client: client.call("store_memory", arguments, HERE)).as_dict()
    assert shown["state"] == "linked"
    assert set(shown["jobs"]) == {"searchable", "linked"}
    found = run(lambda client: client.call("retrieve_memory", {"query": "how do insects talk"}, HERE)).as_dict()
    assert found["retrieved_chunks"][0]["file_name"] == "e.md"
    assert found["retrieved_chunks"][0]["match"] == "meaning"


def test_a_project_sees_its_own_alone(run: Callable[..., Any]) -> None:
    """Documents, jobs and cache stay inside; foreign and unknown look the same."""

    async def body(client: Client) -> dict[str, Any]:
        other = Session("other")
        answer = await client.call("store_memory", {"file_name": "f.md", "content": "Private."}, other)
        with pytest.raises(NotFound):
            await client.call("job_status", {"job_id": answer.job_id}, HERE)
        assert (await client.call("job_status", {"job_id": answer.job_id}, other)).as_dict()["status"] == "finished"
        return (await client.call("retrieve_memory", {"query": "Private."}, HERE)).as_dict()

    assert "f.md" not in {hit["file_name"] for hit in run(body)["retrieved_chunks"]}


def test_an_agent_that_calls_is_known(run: Callable[..., Any]) -> None:
    """N03 rests on this: an agent named by a call counts as active for a minute."""
    run(lambda client: client.call("store_memory", {"file_name": "g.md", "content": "Hi."}, HERE))
    assert run(lambda client: asyncio.to_thread(client.shared.agents.active)) == 1
