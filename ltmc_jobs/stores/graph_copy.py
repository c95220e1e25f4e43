"""A copy of the graph of a Neo4j: a JSON line a node, and then one an edge; read, written back, and taken away."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from neo4j import GraphDatabase, NotificationMinimumSeverity, Session
from neo4j.exceptions import DriverError, Neo4jError

from ltmc_jobs.errors import Conflict, Misconfigured, StoreUnavailable
from ltmc_jobs.settings import Settings
from ltmc_jobs.stores import open_store
from ltmc_jobs.stores.contracts import Edge, Graph, Node

BATCH = 1000
_NODES = """
    MATCH (n) WHERE n.project IS NOT NULL AND n.key IS NOT NULL
    RETURN labels(n)[0] AS label, n.project AS project, n.key AS key, properties(n) AS properties
"""
_EDGES = """
    MATCH (s)-[e]->(t)
    WHERE s.project IS NOT NULL AND s.key IS NOT NULL AND t.project IS NOT NULL AND t.key IS NOT NULL
    RETURN s.project AS project, labels(s)[0] AS source_label, s.key AS source, type(e) AS relation,
           labels(t)[0] AS target_label, t.key AS target, properties(e) AS properties
"""
_REMOVE = """
    MATCH (n) WHERE n.project IS NOT NULL AND n.key IS NOT NULL
    CALL (n) { DETACH DELETE n } IN TRANSACTIONS OF 1000 ROWS
"""


def write_to(settings: Settings, target: Path) -> dict[str, int]:
    """Write what is ours to a file, owner-only; `{nodes, edges}`."""
    with target.open("x") as file, Neo4jSession(settings) as session:
        target.chmod(0o600)
        nodes = _write(file, session, _NODES)
        edges = _write(file, session, _EDGES)
    return {"nodes": nodes, "edges": edges}


def put_back(settings: Settings, source: Path) -> dict[str, int]:
    """Merge such a file's nodes and edges; what the graph holds then."""
    graph = open_store(Graph, settings)
    try:
        with source.open() as file:
            while lines := list(islice(file, BATCH)):
                nodes, edges = _read(lines)
                graph.merge(nodes, edges)
        return graph.count()
    finally:
        graph.close()


def count(settings: Settings) -> dict[str, int]:
    """How many nodes and edges of ours there are."""
    graph = open_store(Graph, settings)
    try:
        return graph.count()
    finally:
        graph.close()


def remove(settings: Settings) -> None:
    """Remove what is ours."""
    with Neo4jSession(settings) as session:
        session.run(_REMOVE).consume()


class Neo4jSession:
    """A session with the server that the settings name; its errors in our words."""

    def __init__(self, settings: Settings) -> None:
        if settings.neo4j_password is None:
            raise Misconfigured("a Neo4j is set and NEO4J_PASSWORD is not: set it, or unset NEO4J_URI and GRAPH_URL")
        login = (settings.neo4j_user, settings.neo4j_password.get_secret_value())
        self._driver = GraphDatabase.driver(
            settings.graph_address,
            auth=login,
            connection_timeout=5.0,
            notifications_min_severity=NotificationMinimumSeverity.OFF,
        )
        self._database = settings.neo4j_database

    def __enter__(self) -> Session:
        self._session = self._driver.session(database=self._database)
        return self._session

    def __exit__(self, _kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        self._session.close()
        self._driver.close()
        if isinstance(error, Neo4jError):
            raise StoreUnavailable(f"The graph cannot answer: Neo4j says {error.code}") from error
        if isinstance(error, DriverError):
            raise StoreUnavailable(f"The graph cannot be reached ({type(error).__name__})") from error


def _write(file: Any, session: Session, statement: str) -> int:
    total = 0
    for row in session.run(statement):
        found = row.data()
        if "key" in found:
            found["properties"] = {n: v for n, v in found["properties"].items() if n not in ("project", "key")}
        file.write(json.dumps(found, ensure_ascii=False) + "\n")
        total += 1
    return total


def _read(lines: list[str]) -> tuple[list[Node], list[Edge]]:
    nodes: list[Node] = []
    edges: list[Edge] = []
    for found in _objects(lines):
        if "key" in found:
            nodes.append(Node(found["project"], found["label"], found["key"], found["properties"]))
        else:
            ends = ((found["source_label"], found["source"]), (found["target_label"], found["target"]))
            edges.append(Edge(found["project"], ends[0], found["relation"], ends[1], found["properties"]))
    return nodes, edges


def _objects(lines: list[str]) -> Iterator[dict[str, Any]]:
    for line in lines:
        try:
            yield json.loads(line)
        except ValueError:
            raise Conflict("the copy of the graph is damaged") from None
