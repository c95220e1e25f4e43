"""The graph in Neo4j, through its official driver, or in any server that speaks Bolt and Cypher.

Labels and relations cannot be parameters in Cypher: they stand in the statements, checked. Everything else is one.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from neo4j import GraphDatabase, ManagedTransaction, NotificationMinimumSeverity
from neo4j.exceptions import ConstraintError, DriverError, Neo4jError

from ltmc_jobs.errors import InvalidArguments, Misconfigured, StoreUnavailable
from ltmc_jobs.settings import Settings
from ltmc_jobs.stores.contracts import Edge, Node, check_graph_name

LABELS = ("Document", "Chunk", "Message")
BATCH_ROWS = 1000
CONNECT_SECONDS = 5.0
RETRY_SECONDS = 10.0

_CONSTRAINT = """
    CREATE CONSTRAINT ltmc_{label} IF NOT EXISTS FOR (n:{label}) REQUIRE (n.project, n.key) IS UNIQUE
"""
_MERGE_NODES = """
    UNWIND $rows AS row MERGE (n:{label} {{project: row.project, key: row.key}}) SET n += row.properties
"""
_MERGE_EDGES = """
    UNWIND $rows AS row
    MERGE (s:{source} {{project: row.project, key: row.source}})
    MERGE (t:{target} {{project: row.project, key: row.target}})
    MERGE (s)-[e:{relation}]->(t) SET e += row.properties
"""
_REMOVE = "MATCH (n:{label} {{project: $project}}) WHERE n.key IN $keys DETACH DELETE n"
_NODES = """
    MATCH (n:{label} {{project: $project}}) WHERE n.key IN $keys
    RETURN n.key AS key, properties(n) AS properties ORDER BY key
"""
_NEIGHBOURS = """
    MATCH (n:{label} {{project: $project}})-[e]-()
    WHERE n.key IN $keys AND ($relations IS NULL OR type(e) IN $relations) AND NOT type(e) IN $without
    WITH DISTINCT e, startNode(e) AS s, endNode(e) AS t
    RETURN labels(s)[0] AS source_label, s.key AS source, type(e) AS relation, labels(t)[0] AS target_label,
           t.key AS target, properties(e) AS properties
    ORDER BY source_label, source, relation, target_label, target LIMIT $limit
"""
_COUNT = """
    MATCH (n) WHERE n.project IS NOT NULL AND n.key IS NOT NULL
    WITH count(n) AS nodes OPTIONAL MATCH (s)-[e]->() WHERE s.project IS NOT NULL AND s.key IS NOT NULL
    RETURN nodes, count(e) AS edges
"""

T = TypeVar("T")


class Neo4jGraph:
    """The graph in one Neo4j database. Open it after forking; threads may share it."""

    def __init__(self, uri: str, *, user: str, password: str, database: str = "neo4j") -> None:
        self._constrained: set[str] = set()
        self._database = database
        with _reported():
            self._driver = GraphDatabase.driver(
                uri,
                auth=(user, password),
                connection_timeout=CONNECT_SECONDS,
                connection_acquisition_timeout=2 * CONNECT_SECONDS,
                max_transaction_retry_time=RETRY_SECONDS,
                # A property that nobody has written yet is no reason for a warning.
                notifications_min_severity=NotificationMinimumSeverity.OFF,
                user_agent="ltmc-jobs",
            )
            try:
                self._driver.verify_connectivity()
                self._constrain(LABELS)
            except BaseException:
                self._driver.close()
                raise

    def merge(self, nodes: Sequence[Node], edges: Sequence[Edge]) -> None:
        """Create or update nodes and edges in one transaction."""
        batches = [*_node_batches(nodes), *_edge_batches(edges)]
        with _reported():
            # Uniqueness cannot be declared in the transaction that writes data.
            self._constrain(
                {node.label for node in nodes} | {label for edge in edges for label in (edge.source[0], edge.target[0])}
            )
            for attempt in (1, 2):
                try:
                    self._write(lambda transaction: _run_all(transaction, batches))
                    return
                except ConstraintError:
                    # Some servers let two clients that merge the same new key collide, where Neo4j makes one wait.
                    if attempt == 2:
                        raise

    def remove(self, project: str, label: str, keys: Sequence[str]) -> None:
        """Remove nodes with their edges."""
        statement = _named(_REMOVE, label=label)
        with _reported():
            self._write(lambda transaction: transaction.run(statement, project=project, keys=list(keys)).consume())

    def nodes(self, project: str, label: str, keys: Sequence[str]) -> list[Node]:
        """The nodes that exist under these keys, by key."""
        rows = self._read(_named(_NODES, label=label), project=project, keys=list(keys))
        return [Node(project, label, row["key"], _without_identity(row["properties"])) for row in rows]

    def neighbours(
        self,
        project: str,
        label: str,
        keys: Sequence[str],
        *,
        relations: Sequence[str] | None = None,
        without: Sequence[str] = (),
        limit: int = 100,
    ) -> list[Edge]:
        """Edges at depth one around the given nodes, both directions, ordered by source, relation and target."""
        for relation in (*(relations or ()), *without):
            check_graph_name(relation)
        rows = self._read(
            _named(_NEIGHBOURS, label=label),
            project=project,
            keys=list(keys),
            relations=None if relations is None else list(relations),
            without=list(without),
            limit=max(limit, 0),
        )
        return [
            Edge(
                project,
                (row["source_label"], row["source"]),
                row["relation"],
                (row["target_label"], row["target"]),
                row["properties"],
            )
            for row in rows
        ]

    def count(self) -> dict[str, int]:
        """Number of nodes and edges that are ours; the database may hold others."""
        (found,) = self._read(_COUNT)
        return {"nodes": found["nodes"], "edges": found["edges"]}

    def check(self) -> None:
        """Raise if the server cannot answer."""
        self._read("RETURN 1 AS one")

    def close(self) -> None:
        """Close the connections."""
        self._driver.close()

    def _constrain(self, labels: Sequence[str] | set[str]) -> None:
        for label in sorted(set(labels) - self._constrained):
            statement = _named(_CONSTRAINT, label=label)
            # A managed transaction: two that declare the same new label, or one that writes it, can deadlock, and
            # the driver then tries the victim again.
            self._write(lambda transaction, statement=statement: transaction.run(statement).consume())  # type: ignore[misc]
            self._constrained.add(label)

    def _write(self, work: Callable[[ManagedTransaction], T]) -> T:
        with self._driver.session(database=self._database) as session:
            return session.execute_write(work)

    def _read(self, statement: str, **values: Any) -> list[dict[str, Any]]:
        with _reported(), self._driver.session(database=self._database) as session:
            return session.execute_read(lambda transaction: transaction.run(statement, values).data())


def from_settings(settings: Settings) -> Neo4jGraph:
    """The graph in the server that GRAPH_URL or NEO4J_URI names; Misconfigured without a password."""
    if settings.neo4j_password is None:
        raise Misconfigured("a Neo4j is set and NEO4J_PASSWORD is not: set it, or unset NEO4J_URI and GRAPH_URL")
    password = settings.neo4j_password.get_secret_value()
    return Neo4jGraph(
        settings.graph_address, user=settings.neo4j_user, password=password, database=settings.neo4j_database
    )


def _named(statement: str, **names: str) -> str:
    """A statement with its labels and relations in place."""
    for name in names.values():
        check_graph_name(name)
    return statement.format(**names)


def _node_batches(nodes: Sequence[Node]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for node in nodes:
        rows[node.label].append({"project": node.project, "key": node.key, "properties": node.properties})
    for label, batch in rows.items():
        yield _named(_MERGE_NODES, label=label), batch


def _edge_batches(edges: Sequence[Edge]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    rows: dict[tuple[str, str, str], list[dict[str, Any]]] = defaultdict(list)
    for edge in edges:
        row = {"project": edge.project, "source": edge.source[1], "target": edge.target[1]}
        rows[edge.source[0], edge.relation, edge.target[0]].append(row | {"properties": edge.properties})
    for (source, relation, target), batch in rows.items():
        yield _named(_MERGE_EDGES, source=source, relation=relation, target=target), batch


def _run_all(transaction: ManagedTransaction, batches: Sequence[tuple[str, list[dict[str, Any]]]]) -> None:
    for statement, rows in batches:
        for first in range(0, len(rows), BATCH_ROWS):
            transaction.run(statement, rows=rows[first : first + BATCH_ROWS]).consume()


def _without_identity(properties: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in properties.items() if name not in ("project", "key")}


@contextlib.contextmanager
def _reported() -> Iterator[None]:
    """Errors in our words: the driver's own hold the address, and may hold what was sent."""
    try:
        yield
    except Neo4jError as error:
        raise StoreUnavailable(f"The graph cannot answer: Neo4j says {error.code}") from error
    except (DriverError, OSError) as error:
        raise StoreUnavailable(f"The graph cannot be reached ({type(error).__name__})") from error
    except UnicodeEncodeError as error:
        raise InvalidArguments("A text holds half of a surrogate pair, so it is no Unicode text") from error
