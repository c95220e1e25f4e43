"""The whole platform with its graph in a real Neo4j."""

from __future__ import annotations

from collections.abc import Callable

from neo4j import GraphDatabase

from tests.acceptance.conftest import Platform
from tests.api import call, get
from tests.bolt import Bolt


def test_the_graph_is_where_neo4j_uri_says(own_platform: Callable[..., Platform], neo4j_server: Bolt) -> None:
    """V21, M06: documents and chunks become nodes there, /health says so, and a new version replaces the old one."""
    project = "through-the-platform"
    platform = own_platform(
        NEO4J_URI=neo4j_server.uri, NEO4J_PASSWORD=neo4j_server.password, LTMC_DASHBOARD="false", LTMC_WORKERS=1
    )
    platform.workers("start", "--detach")
    for content in ("The old words.", "The new words."):
        note = {"file_name": "note.md", "content": content, "wait_for": "linked"}
        stored = call(platform.url, "store_memory", note, project=project)
        assert stored["state"] == "linked"
    component = get(f"{platform.url}/health")[1]["components"]["neo4j"]
    assert (component["status"], component["backend"]) == ("healthy", "bolt")
    with GraphDatabase.driver(neo4j_server.uri, auth=("neo4j", neo4j_server.password)) as driver:
        found, _, _ = driver.execute_query(
            "MATCH (d:Document {project: $project})-[r:HAS_CHUNK]->(c:Chunk) RETURN d.key, d.version, c.key",
            project=project,
        )
        assert [list(row.values()) for row in found] == [["note.md", 2, str(stored["vector_ids"][0])]]
        driver.execute_query("MATCH (n {project: $project}) DETACH DELETE n", project=project)
