"""More front ends and workers on one Redis, as many as asked for, and no file left open after thousands of calls."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import httpx
import psutil
import pytest

from ltmc_jobs.queues.views import fleet
from ltmc_jobs.stores.graph_neo4j import Neo4jGraph
from tests.acceptance.conftest import Platform
from tests.acceptance.front import Front, redis_of, settings_of, web_of
from tests.bolt import Bolt
from tests.conftest import wait_until
from tests.fleet import WorkerProcesses
from workers import processes
from workers.record import Record

CLIENTS = 8
LEEWAY = 5  # open files


def pools_of(platform: Platform) -> list[str]:
    """The pool of each living worker process."""
    with redis_of(platform) as redis:
        hosts = fleet.fleet(redis)["hosts"]
    return [one["pool"] for host in hosts for one in host["processes"] if psutil.pid_exists(one["pid"])]


def test_j16_the_variable_is_the_number_of_default_processes(platform: Platform) -> None:
    """J16: LTMC_WORKERS is 2 in this platform; so many processes of this pool live, as Redis and the system know."""
    assert platform.env["LTMC_WORKERS"] == "2"
    assert wait_until(lambda: (pools := pools_of(platform)).count("default") == 2 and pools, 10)
    with web_of(platform.url) as web:
        assert web.get("/health").json()["workers"]["default"] == 2


@pytest.mark.slow
@pytest.mark.parametrize(("variable", "count"), [("LETTA_WORKER_COUNT", 3), ("LTMC_WORKERS", 1)])
def test_j16_by_either_name(own_platform: Callable[..., Platform], variable: str, count: int) -> None:
    """J16: the original's variable does the same."""
    platform = own_platform(LTMC_DASHBOARD="false")
    del platform.env["LTMC_WORKERS"]
    platform.env[variable] = str(count)
    platform.workers("start", "--detach")
    wait_until(lambda: pools_of(platform).count("default") == count, 10)


@pytest.fixture(scope="module")
def fronts(platform: Platform) -> Iterator[list[str]]:
    """Three front ends on the platform's Redis, and two workers more: four of the default pool."""
    settings = settings_of(platform)
    more = [Front(platform.home, REDIS_URL=settings.redis_address(), LTMC_DASHBOARD="false") for _ in range(2)]
    for number, front in enumerate(more, start=2):
        front.log = platform.home / "logs" / f"api-{number}.log"
    workers = WorkerProcesses(settings)
    with ExitStack() as ends:
        for front in more:
            ends.callback(front.stop)
            front.start(make_key=False)
        ends.callback(workers.stop)
        for _ in range(2):
            workers.start("default", "low")
        for front in more:
            front.wait()
        wait_until(lambda: len([pool for pool in pools_of(platform) if pool in ("default", "tests")]) == 4, 20)
        yield [platform.url, *(front.url for front in more)]


async def test_y05_three_front_ends_and_four_workers_are_one_platform(platform: Platform, fronts: list[str]) -> None:
    """Y05: 200 calls at once over the three; each is answered rightly and carried out once."""
    project = f"scale-{uuid.uuid4().hex[:8]}"
    numbers = range(100)
    async with asyncio.TaskGroup() as tasks:
        stored = [tasks.create_task(store(fronts, project, number)) for number in numbers]
        asked = [tasks.create_task(ask(fronts, project, number % 10)) for number in numbers]
    kept = [task.result() for task in stored]
    assert len({note["resource_id"] for note in kept}) == len(kept)
    assert len({vector for note in kept for vector in note["vector_ids"]}) == sum(note["chunk_count"] for note in kept)
    assert {(note["file_name"], note["version"]) for note in kept} == {(f"note-{number}.md", 1) for number in numbers}
    assert all(
        answer["query"] == f"What is in box {number % 10}?"
        for number, answer in zip(numbers, (task.result() for task in asked), strict=True)
    )
    await asyncio.to_thread(wait_until, lambda: ended(platform, project), 30, "what follows has ended")
    for url in fronts:  # each sees all, whichever stored it
        with web_of(url, params={"project": project, "wait": 20}) as web:
            for number in (0, 49, 99):
                found = web.post("/tools/retrieve_memory", json={"query": content(number), "top_k": 1}).json()
                (chunk,) = found["retrieved_chunks"]
                assert (chunk["file_name"], chunk["content"]) == (f"note-{number}.md", content(number))
            assert (
                web.post("/tools/retrieve_memory", json={"query": "box", "top_k": 100}).json()["total_results"] == 100
            )


async def test_y05_one_name_stored_by_all_at_once_has_a_version_each(platform: Platform, fronts: list[str]) -> None:
    """Y05: thirty writers of one document: thirty versions; and repeated calls are one, wherever they go."""
    project = f"scale-{uuid.uuid4().hex[:8]}"
    async with asyncio.TaskGroup() as tasks:
        made = [tasks.create_task(post(fronts, project, n, "store_memory", note("same.md", n))) for n in range(30)]
        key = {"Idempotency-Key": "once"}
        again = [
            tasks.create_task(post(fronts, project, n, "store_memory", note("once.md", 7), key)) for n in range(12)
        ]
    assert sorted(task.result()["version"] for task in made) == list(range(1, 31))
    assert {(task.result()["version"], task.result()["job_id"]) for task in again} == {(1, again[0].result()["job_id"])}


def content(number: int) -> str:
    return f"Box {number} holds {number * 7} marbles, counted on day {number}."


def note(name: str, number: int) -> dict[str, Any]:
    return {"file_name": name, "content": content(number)}


async def store(fronts: list[str], project: str, number: int) -> dict[str, Any]:
    return await post(fronts, project, number, "store_memory", note(f"note-{number}.md", number))


async def ask(fronts: list[str], project: str, number: int) -> dict[str, Any]:
    return await post(fronts, project, number + 1, "retrieve_memory", {"query": f"What is in box {number}?"})


async def post(
    fronts: list[str],
    project: str,
    number: int,
    tool: str,
    body: dict[str, Any],
    headers: dict[str, str] | None = None,
) -> dict[str, Any]:
    """A client of its own, to the front end whose turn it is."""
    async with httpx.AsyncClient(base_url=fronts[number % len(fronts)], timeout=60, trust_env=False) as web:
        answer = await web.post(f"/tools/{tool}", params={"project": project, "wait": 45}, json=body, headers=headers)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        assert found["success"] is True
        return found


def ended(platform: Platform, project: str) -> bool:
    with web_of(platform.url, params={"project": project}) as web:
        jobs = web.get("/jobs", params={"limit": 500}).json()["jobs"]
    return {job["status"] for job in jobs} == {"finished"}


async def test_y07_thousands_of_requests_leave_no_file_open(platform: Platform) -> None:
    """Y07: connections to Redis and SQLite are pooled: 10,000 requests, of them 500 jobs, change nothing."""
    project = f"pool-{uuid.uuid4().hex[:8]}"
    await burst(platform.url, project, "warm", answers=1000, batches=5, calls=60)
    before = await asyncio.to_thread(at_rest, platform)
    await burst(platform.url, project, "real", answers=2000, batches=75, calls=500)
    wait_until(lambda: within(before, open_files(platform)), 15, f"as before: {before}, {open_files(platform)}")
    print(before, open_files(platform))  # noqa: T201


@pytest.mark.slow
def test_y07_the_graph_server_is_asked_over_a_pool(neo4j_server: Bolt) -> None:
    """Y07: eight threads, a thousand questions: no more connections than were open at once, none beyond the first."""
    graph = Neo4jGraph(neo4j_server.uri, user="neo4j", password=neo4j_server.password)
    process = psutil.Process()
    with ThreadPoolExecutor(CLIENTS) as threads:
        list(threads.map(lambda _: graph.check(), range(100)))
        before = process.num_fds()
        list(threads.map(lambda _: graph.check(), range(1000)))
        assert abs(process.num_fds() - before) <= LEEWAY
    graph.close()


async def burst(url: str, project: str, name: str, *, answers: int, batches: int, calls: int) -> None:
    """So many cached answers, batches of a hundred questions, and calls that are jobs, by eight clients at once."""
    asked = {"query": "What is cached?"}
    batch = [{"jsonrpc": "2.0", "id": n, "method": "retrieve_memory", "params": asked} for n in range(100)]

    async def client(place: int) -> None:
        async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False, params={"project": project}) as web:
            for number in range(place, calls, CLIENTS):
                answer = await web.post("/tools/store_memory?wait=30", json=note(f"{name}-{number}.md", number))
                assert answer.status_code == 200, answer.text
            for _ in range(place, answers, CLIENTS):
                answer = await web.post("/tools/retrieve_memory?wait=30", json=asked)
                assert answer.status_code == 200, answer.text
            for _ in range(place, batches, CLIENTS):
                answer = await web.post("/jsonrpc", json=batch)
                assert [one["id"] for one in answer.json() if one["result"]["cached"]] == list(range(100))

    async with asyncio.TaskGroup() as tasks:
        for place in range(CLIENTS):
            tasks.create_task(client(place))


def open_files(platform: Platform) -> dict[int, int]:
    """How many files each process of the API and the workers has open, sockets too."""
    record = Record.load(settings_of(platform))
    assert record is not None
    found = {}
    for name in ("api", "workers"):
        top = record.children[name].find()
        assert top is not None
        for process in [top, *top.children()]:
            if processes.alive(process):
                found[process.pid] = process.num_fds()
    return found


def at_rest(platform: Platform) -> dict[int, int]:
    """The same once nothing opens or closes any."""
    last: dict[int, int] = {}

    def still() -> dict[int, int]:
        nonlocal last
        before, last = last, open_files(platform)
        return last if before == last else {}

    found: dict[int, int] = wait_until(still, 15)
    return found


def within(before: dict[int, int], now: dict[int, int]) -> bool:
    return set(before) == set(now) and all(abs(now[pid] - before[pid]) <= LEEWAY for pid in before)
