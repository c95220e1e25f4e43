"""The whole platform with its graph in a real Neo4j, and the graph tools on either graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from neo4j import GraphDatabase

from tests.acceptance.conftest import Platform
from tests.api import call, get
from tests.bolt import Bolt

HARBOUR = "The harbour opens for ships in March; pilots bring the ships to their berths. See tides.md, says @ada."
SHIPS = "In March the harbour opens for ships again, and pilots guide each ship to its berth."


def test_the_graph_is_where_neo4j_uri_says(
    own_platform: Callable[..., Platform], platform: Platform, neo4j_server: Bolt
) -> None:
    """V21, M06, A17–A20: documents become nodes there, /health says so, and the tools answer as without a Neo4j."""
    project = "through-the-platform"
    own = own_platform(
        NEO4J_URI=neo4j_server.uri, NEO4J_PASSWORD=neo4j_server.password, LTMC_DASHBOARD="false", LTMC_WORKERS=1
    )
    own.workers("start", "--detach")
    for content in ("The old words.", "The new words."):
        note = {"file_name": "note.md", "content": content, "wait_for": "linked"}
        stored = call(own.url, "store_memory", note, project=project)
        assert stored["state"] == "linked"
    backends = {}
    for url in (own.url, platform.url):
        component = get(f"{url}/health")[1]["components"]["neo4j"]
        assert component["status"] == "healthy"
        backends[url] = component["backend"]
    assert backends == {own.url: "bolt", platform.url: "sqlite"}
    with GraphDatabase.driver(neo4j_server.uri, auth=("neo4j", neo4j_server.password)) as driver:
        found, _, _ = driver.execute_query(
            "MATCH (d:Document {project: $project})-[r:HAS_CHUNK]->(c:Chunk) RETURN d.key, d.version, c.key",
            project=project,
        )
        assert [list(row.values()) for row in found] == [["note.md", 2, str(stored["vector_ids"][0])]]
        on_neo4j = use_the_tools(own.url, "tools-on-either")
        assert on_neo4j == use_the_tools(platform.url, "tools-on-either")
        assert on_neo4j["links"] == [
            "harbour.md DEPENDS_ON tides.md", "harbour.md MENTIONS @ada", "harbour.md MENTIONS tides.md",
            "harbour.md SIMILAR_TO ships.md", "tides.md caused by moon",
        ]  # fmt: skip
        for name in (project, "tools-on-either"):
            driver.execute_query("MATCH (n {project: $project}) DETACH DELETE n", project=name)


def use_the_tools(url: str, project: str) -> dict[str, Any]:
    """Store, link and look, as an agent would over HTTP; what came of it, the same on every graph."""

    def ask(tool: str, **arguments: Any) -> dict[str, Any]:
        answer = call(url, tool, arguments, project=project)
        assert answer["success"] is True
        return answer

    for name, content in (("harbour.md", HARBOUR), ("ships.md", SHIPS), ("tides.md", "The moon moves the water.")):
        assert ask("store_memory", file_name=name, content=content, wait_for="linked")["state"] == "linked"
    made = [
        ask("link_resources", source_id="harbour.md", target_id="tides.md", relation="depends on"),
        ask("link_resources", source_id="harbour.md", target_id="tides.md", relationship_type="DEPENDS_ON"),
        ask("link_resources", source_id="tides.md", target_id="moon", relation="caused by"),
    ]
    alike = ask("auto_link_documents", document_id=["harbour.md", "ships.md"])
    answer = ask("get_document_relationships_tool", document_id="harbour.md", max_depth=2)
    # Asked again, the answer is kept; after a new link it is a new one.
    before = ask("query_graph", entity="moon")["count"]
    ask("link_resources", source_id="moon", target_id="earth", relation="circles")
    return {
        "made": [one["relationship_created"] for one in made],
        "alike": [alike["similar"], alike["documents_processed"]],
        "links": sorted(
            f"{one['source_id']} {one['relationship_type']} {one['target_id']}" for one in answer["relationships"]
        ),
        "paths": [[one["path"], one["depth"]] for one in answer["relationships"]],
        "counts": [before, ask("query_graph", entity="moon")["count"]],
    }
