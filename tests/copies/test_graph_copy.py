"""The graph of a Neo4j in a backup, on the real server."""

from __future__ import annotations

from pathlib import Path

import pytest

from ltmc_jobs.stores import graph_copy, open_store
from ltmc_jobs.stores.contracts import Edge, Graph, Node
from tests.bolt import Bolt
from tests.conftest import MakeSettings


def test_nodes_and_edges_come_back(make_settings: MakeSettings, neo4j_server: Bolt, tmp_path: Path) -> None:
    """D11: with every kind of property; what is not ours in the same database is neither copied nor removed."""
    settings = make_settings(NEO4J_URI=neo4j_server.uri, NEO4J_PASSWORD=neo4j_server.password)
    graph_copy.remove(settings)
    graph = open_store(Graph, settings)
    properties = {"text": "ünï\nline", "number": 3, "share": 0.5, "yes": True, "list": ["a", "b"]}
    nodes = [Node("copies", "Document", f"{n}.md", properties) for n in range(3)]
    edges = [Edge("copies", ("Document", "0.md"), "REFERENCES", ("Document", f"{n}.md"), {"score": n}) for n in (1, 2)]
    graph.merge(nodes, edges)
    with graph_copy.Neo4jSession(settings) as session:
        session.run("MERGE (n:Stranger {name: 'not ours'})").consume()

    assert graph_copy.write_to(settings, tmp_path / "graph") == {"nodes": 3, "edges": 2}
    graph_copy.remove(settings)
    assert graph.count() == {"nodes": 0, "edges": 0}
    assert graph_copy.put_back(settings, tmp_path / "graph") == {"nodes": 3, "edges": 2}
    assert graph.nodes("copies", "Document", [node.key for node in nodes]) == nodes
    assert graph.around("copies", [("Document", "0.md")])["Document", "0.md"] == edges
    with graph_copy.Neo4jSession(settings) as session:
        found = session.run("MATCH (n:Stranger) DETACH DELETE n RETURN count(n) AS total").single()
        assert found is not None
        assert found["total"] == 1
    graph_copy.remove(settings)
    graph.close()


def test_a_damaged_line_is_told(make_settings: MakeSettings, neo4j_server: Bolt, tmp_path: Path) -> None:
    settings = make_settings(NEO4J_URI=neo4j_server.uri, NEO4J_PASSWORD=neo4j_server.password)
    (tmp_path / "graph").write_text("{half")
    with pytest.raises(Exception, match="copy of the graph is damaged"):
        graph_copy.put_back(settings, tmp_path / "graph")
