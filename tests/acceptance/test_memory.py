"""Store and retrieve through all four tiers of a running platform."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import psutil
import pytest
import redis

from ltmc_jobs import keys
from tests.acceptance.conftest import Platform
from tests.api import call, get, post

WORDS = """
amber basalt cedar dune ember fjord glacier harbour island juniper kelp lagoon meadow nebula orchard prairie quartz reef
savanna tundra umbra valley willow yarrow zephyr anvil bridge compass dynamo engine forge gantry hammer ingot jig kiln
lathe mortar nozzle oven piston rivet spindle turbine valve winch axle boiler crane
""".split()  # noqa: SIM905


def sentences(count: int, seed: int) -> str:
    """Distinct sentences, each of its own random words and number."""
    chance = random.Random(seed)
    return " ".join(
        f"Record {seed}-{n} says that {' '.join(chance.sample(WORDS, 9))} were counted {chance.randrange(10**6)} times."
        for n in range(count)
    )


def rows(platform: Platform, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    """What the records' file holds."""
    with closing(sqlite3.connect(platform.home / "ltmc.db")) as database:
        return database.execute(statement, values).fetchall()


def test_every_character_can_be_recovered(platform: Platform) -> None:
    """A01, M10, M02: offsets and order of the chunks give back the whole document."""
    content = sentences(60, 1) + "\r\n\r\n" + "ünïcödé 🙂 " * 40 + "x" * 3000
    stored = call(platform.url, "store_memory", {"file_name": "whole.md", "content": content}, project="whole")
    assert stored["success"] is True
    assert stored["chunk_count"] == len(stored["vector_ids"]) > 5
    chunks = rows(
        platform,
        'SELECT content, start, "end" FROM resource_chunks WHERE resource_id = ? ORDER BY chunk_index',
        stored["resource_id"],
    )
    covered = 0
    for text, begin, end in chunks:
        assert text == content[begin:end]
        assert begin <= covered < end
        covered = end
    assert covered == len(content)


def test_the_same_name_again_is_a_new_version_not_a_second_hit(platform: Platform) -> None:
    """A01."""
    url, project = platform.url, "versions"
    one = {"file_name": "plan.md", "content": "The harbour opens in March.", "wait_for": "searchable"}
    first = call(url, "store_memory", one, project=project)
    second = call(url, "store_memory", one | {"content": "The harbour opens in June."}, project=project)
    assert (first["version"], second["version"]) == (1, 2)
    assert first["resource_id"] == second["resource_id"]
    found = call(url, "retrieve_memory", {"query": "when does the harbour open"}, project=project)
    assert [hit["content"] for hit in found["retrieved_chunks"]] == ["The harbour opens in June."]
    unchanged = call(url, "store_memory", one | {"content": "The harbour opens in June."}, project=project)
    assert unchanged["version"] == 2
    assert "unchanged" in unchanged["message"]


def test_words_are_found_as_soon_as_they_are_recorded(platform: Platform) -> None:
    """The call answers when the words can be found; meaning follows."""
    stored = call(
        platform.url,
        "store_memory",
        {"file_name": "new.md", "content": "A zebrafinch sings.", "wait_for": "recorded"},
        project="new",
    )
    assert stored["state"] == "recorded"
    found = call(platform.url, "retrieve_memory", {"query": "zebrafinch"}, project="new")
    assert [hit["file_name"] for hit in found["retrieved_chunks"]] == ["new.md"]
    for name in ("searchable", "linked"):
        status, ended = get(f"{platform.url}/jobs/{stored['jobs'][name]}/result?wait=20&project=new")
        assert (status, ended["success"]) == (200, True)


@pytest.mark.parametrize("documents", [4, pytest.param(15, marks=pytest.mark.slow)])
def test_each_chunk_is_found_by_its_own_text(platform: Platform, documents: int) -> None:
    """A02: rank 1 for at least 99.9 %, of a thousand in the long run; scores fall and belong to their chunks."""
    url, project = platform.url, f"own-{documents}"
    for seed in range(documents):
        content = sentences(420, 100 + seed)
        stored = {"file_name": f"{seed}.md", "content": content, "wait_for": "searchable"}
        assert call(url, "store_memory", stored, project=project, wait=45)["state"] == "searchable"
    chunks = rows(
        platform,
        "SELECT c.id, c.content FROM resource_chunks c JOIN resources r ON r.id = c.resource_id WHERE r.project = ?",
        project,
    )
    assert len(chunks) >= 65 * documents

    def first_is_right(chunk: tuple[int, str]) -> bool:
        found = call(url, "retrieve_memory", {"query": chunk[1], "top_k": 3}, project=project)["retrieved_chunks"]
        scores = [hit["score"] for hit in found]
        assert scores == sorted(scores, reverse=True)
        assert all(hit["content"] for hit in found)
        return bool(found[0]["chunk_id"] == chunk[0] and found[0]["content"] == chunk[1])

    with ThreadPoolExecutor(4) as pool:
        right = sum(pool.map(first_is_right, chunks))
    assert right >= 0.999 * len(chunks)


def test_a_conversation_limits_a_search_that_asks_for_it(platform: Platform) -> None:
    """A02: scope."""
    url, project = platform.url, "talks"
    for name in ("a", "b"):
        note = {"file_name": f"{name}.md", "content": f"Talk {name}: the turbine is late.", "conversation_id": name}
        call(url, "store_memory", note | {"wait_for": "searchable"}, project=project)
    asked = {"query": "turbine", "conversation_id": "a"}
    everywhere = call(url, "retrieve_memory", asked, project=project)
    limited = call(url, "retrieve_memory", asked | {"scope": "conversation"}, project=project)
    assert {hit["file_name"] for hit in everywhere["retrieved_chunks"]} == {"a.md", "b.md"}
    assert {hit["file_name"] for hit in limited["retrieved_chunks"]} == {"a.md"}
    assert messages(platform, project) == [], "a question is not written down, unless it is to be"
    for _ in range(2):  # each time: no answer is given again that would keep nothing
        logged = call(url, "retrieve_memory", asked | {"log_query": True}, project=project)
        get(f"{url}/jobs/{logged['jobs']['logged']}/result?wait=20&project={project}")
    assert messages(platform, project) == [("turbine", len(logged["retrieved_chunks"]))] * 2
    status, refused = post(f"{url}/tools/retrieve_memory", {"query": "x", "scope": "conversation"})
    assert (status, refused["error"]["details"]["field"]) == (422, "conversation_id")


def messages(platform: Platform, project: str) -> list[tuple[str, int]]:
    """What was said in a project, each with the number of chunks that it is linked to."""
    links = "(SELECT count(*) FROM context_links l WHERE l.message_id = h.id)"
    return rows(platform, f"SELECT h.content, {links} FROM chat_history h WHERE h.project = ?", project)  # noqa: S608


def test_one_store_leaves_all_of_its_traces(platform: Platform) -> None:
    """M07, M06: chunks, vectors, rows, graph edges, cache invalidation, under one trace."""
    server = redis.Redis.from_url(redis_address(platform))
    before = int(server.get(keys.key("traces", "topic", "memory")) or 0)
    content = sentences(30, 9)
    stored = call(
        platform.url, "store_memory", {"file_name": "t.md", "content": content, "wait_for": "linked"}, project="traces"
    )
    assert stored["state"] == "linked"
    ids = stored["vector_ids"]
    kept = "SELECT count(*), min(dimension) FROM vectors WHERE chunk_id IN (SELECT value FROM json_each(?))"
    assert rows(platform, kept, json.dumps(ids)) == [(len(ids), 384)]
    edges = rows(
        platform, "SELECT relation, target_key FROM graph_edges WHERE project = 'traces' AND source_key = 't.md'"
    )
    assert {(relation, int(key)) for relation, key in edges} == {("HAS_CHUNK", chunk) for chunk in ids}
    assert int(server.get(keys.key("traces", "topic", "memory"))) >= before + 2
    traces = {
        get(f"{platform.url}/jobs/{job_id}?project=traces")[1]["meta"]["trace_id"]
        for job_id in (stored["job_id"], *stored["jobs"].values())
    }
    assert len(traces) == 1
    server.close()


def test_a_second_identical_query_is_a_hit_and_a_store_makes_the_next_a_miss(platform: Platform) -> None:
    """M08."""
    url, project = platform.url, "cached"
    note = {"file_name": "n.md", "content": "Juniper grows on the dune.", "wait_for": "linked"}
    call(url, "store_memory", note, project=project)
    query = {"query": "where does juniper grow"}
    first = call(url, "retrieve_memory", query, project=project)
    second = call(url, "retrieve_memory", query, project=project)
    assert "cached" not in first
    assert second.pop("cached") is True
    assert second == first
    call(url, "store_memory", note | {"content": "Juniper grows on the reef."}, project=project)
    third = call(url, "retrieve_memory", query, project=project)
    assert "cached" not in third
    assert third["retrieved_chunks"][0]["content"] == "Juniper grows on the reef."


def test_two_projects_do_not_see_each_other(platform: Platform) -> None:
    """Each has a README.md of its own."""
    for project in ("left", "right"):
        readme = {"file_name": "README.md", "content": f"This is the {project} project.", "wait_for": "searchable"}
        call(platform.url, "store_memory", readme, project=project)
    for project in ("left", "right"):
        found = call(platform.url, "retrieve_memory", {"query": "which project is this"}, project=project)
        assert [hit["content"] for hit in found["retrieved_chunks"]] == [f"This is the {project} project."]


def test_workers_may_be_killed_at_any_point(
    own_platform: Callable[..., Platform], wait_until: Callable[..., Any]
) -> None:
    """A01, M07: kill -9 all along the way leaves all of a version or none, and everything converges."""
    platform, chance = own_platform(LTMC_DASHBOARD="false"), random.Random(3)
    platform.workers("start", "--detach")
    handles = []
    for n in range(24):
        document = {"file_name": f"{n}.md", "content": sentences(20, 500 + n)}
        handles.append(call(platform.url, "store_memory", document, wait=0))
        if n % 2:
            os.kill(chance.choice(worker_pids(platform)), signal.SIGKILL)
            time.sleep(chance.random() * 0.3)
        partly = rows(
            platform,
            "SELECT r.file_name FROM resources r WHERE r.version > 0 AND EXISTS (SELECT 1 FROM resource_chunks c "
            "LEFT JOIN vectors v ON v.chunk_id = c.id WHERE c.resource_id = r.id AND c.version = r.version "
            "AND v.chunk_id IS NULL)",
        )
        assert partly == [], "a visible version is whole"
    for handle in handles:
        status, stored = get(f"{platform.url}/jobs/{handle['job_id']}/result?wait=45")
        assert (status, stored["success"]) == (200, True), stored
    wait_until(lambda: rows(platform, "SELECT DISTINCT state FROM resource_versions") == [("linked",)], 60)
    assert rows(platform, "SELECT count(*) FROM resources WHERE version = 1") == [(24,)]
    for n in range(24):
        wanted = f"Record {500 + n}-7"
        found = call(platform.url, "retrieve_memory", {"query": wanted, "top_k": 3})
        assert found["retrieved_chunks"][0]["score"] > 0.2


def worker_pids(platform: Platform) -> list[int]:
    """The forked workers of the platform's fleet."""
    found = []
    for process in psutil.process_iter():
        try:
            if "workers" in process.cmdline() and process.environ().get("LTMC_HOME") == str(platform.home):
                parent = process.parent()
                if parent is not None and "--stores" in parent.cmdline():
                    found.append(process.pid)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    assert found
    return found


def redis_address(platform: Platform) -> str:
    """The embedded server of the platform."""
    password = (platform.home / "redis" / "password").read_text().strip()
    return f"redis://:{password}@127.0.0.1:{platform.env['REDIS_PORT']}/0"
