"""The graph in Neo4j, through its official driver, or in any server that speaks Bolt and Cypher."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import neo4j
from neo4j import GraphDatabase, ManagedTransaction, NotificationMinimumSeverity, RoutingControl
from neo4j.exceptions import ConstraintError, DriverError, Neo4jError

from ltmc_jobs.errors import InvalidArguments, Misconfigured, StoreUnavailable
from ltmc_jobs.settings import Settings
from ltmc_jobs.stores import graph_cypher as cypher
from ltmc_jobs.stores.contracts import Direction, Edge, End, Merged, Node, check_graph_name

LABELS = ("Document", "Chunk", "Message", "Entity")
BATCH_ROWS = 1000
CONNECT_SECONDS = 5.0
RETRY_SECONDS = 10.0

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

    def merge(self, nodes: Sequence[Node], edges: Sequence[Edge]) -> Merged:
        """Create or update nodes and edges in one transaction."""
        batches = [*cypher.node_batches(nodes, edges), *cypher.edge_batches(cypher.MERGE_EDGES, edges)]
        with _reported():
            # Uniqueness cannot be declared in the transaction that writes data.
            self._constrain(
                {node.label for node in nodes} | {end[0] for edge in edges for end in (edge.source, edge.target)}
            )
            for attempt in (1, 2):
                try:
                    made = self._write(lambda transaction: _run_all(transaction, batches))
                    return Merged(made["nodes_created"], made["relationships_created"])
                except ConstraintError:
                    # Some servers let two clients that merge the same new key collide, where Neo4j makes one wait.
                    if attempt == 2:
                        raise
        raise AssertionError

    def unlink(self, edges: Sequence[Edge]) -> int:
        """Remove these edges in one transaction; how many were there."""
        batches = list(cypher.edge_batches(cypher.UNLINK, edges))
        with _reported():
            return self._write(lambda transaction: _run_all(transaction, batches))["relationships_deleted"]

    def remove(self, project: str, label: str, keys: Sequence[str]) -> None:
        """Remove nodes with their edges."""
        statement = cypher.named(cypher.REMOVE, label=label)
        with _reported():
            self._write(lambda transaction: transaction.run(statement, project=project, keys=list(keys)).consume())

    def nodes(self, project: str, label: str, keys: Sequence[str]) -> list[Node]:
        """The nodes that exist under these keys, by key."""
        rows = self._read(cypher.named(cypher.NODES, label=label), project=project, keys=list(keys))
        return [Node(project, label, row["key"], _without_identity(row["properties"])) for row in rows]

    def around(
        self,
        project: str,
        ends: Sequence[End],
        *,
        relations: Sequence[str] | None = None,
        without: Sequence[str] = (),
        direction: Direction = "both",
        far_label: str | None = None,
        fan_out: int = 100,
    ) -> dict[End, list[Edge]]:
        """The edges at each of these nodes, at most `fan_out` of each, by relation and far end; one query a label."""
        for name in (*(relations or ()), *without):
            check_graph_name(name)
        if relations is not None and not relations:
            return {}
        types = ":" + "|".join(f"`{name}`" for name in relations) if relations else ""
        found: dict[End, list[Edge]] = {}
        for label in dict.fromkeys(label for label, _ in ends):
            rows = self._read(
                cypher.named(cypher.AROUND, label=label, pattern=cypher.PATTERNS[direction].format(types=types)),
                project=project,
                keys=list({key for of, key in ends if of == label}),
                without=list(without),
                far_label=far_label,
                fan_out=max(fan_out, 0),
            )
            for row in rows:
                if at := [_edge_at(project, (label, row["near"]), edge) for edge in row["edges"]]:
                    found[label, row["near"]] = at
        return found

    def count(self) -> dict[str, int]:
        """Number of nodes and edges that are ours; the database may hold others."""
        (found,) = self._read(cypher.COUNT)
        return {"nodes": found["nodes"], "edges": found["edges"]}

    def check(self) -> None:
        """Raise if the server cannot answer."""
        self._read("RETURN 1 AS one")

    def close(self) -> None:
        """Close the connections."""
        self._driver.close()

    def _constrain(self, labels: Sequence[str] | set[str]) -> None:
        for label in sorted(set(labels) - self._constrained):
            statement = cypher.named(cypher.CONSTRAINT, label=label)
            # A managed transaction: two that declare the same new label, or one that writes it, can deadlock, and
            # the driver then tries the victim again.
            self._write(lambda transaction, statement=statement: transaction.run(statement).consume())  # type: ignore[misc]
            self._constrained.add(label)

    def _write(self, work: Callable[[ManagedTransaction], T]) -> T:
        # With the bookmarks of the reads: in a cluster, what was written here is seen here.
        bookmarks = self._driver.execute_query_bookmark_manager
        with self._driver.session(database=self._database, bookmark_manager=bookmarks) as session:
            return session.execute_write(work)

    def _read(self, statement: str, **values: Any) -> list[dict[str, Any]]:
        with _reported():
            return self._driver.execute_query(
                statement,
                values,
                routing_=RoutingControl.READ,
                database_=self._database,
                result_transformer_=neo4j.Result.data,
            )


def from_settings(settings: Settings) -> Neo4jGraph:
    """The graph in the server that GRAPH_URL or NEO4J_URI names; Misconfigured without a password."""
    if settings.neo4j_password is None:
        raise Misconfigured("a Neo4j is set and NEO4J_PASSWORD is not: set it, or unset NEO4J_URI and GRAPH_URL")
    password = settings.neo4j_password.get_secret_value()
    return Neo4jGraph(
        settings.graph_address, user=settings.neo4j_user, password=password, database=settings.neo4j_database
    )


def _run_all(transaction: ManagedTransaction, batches: Sequence[cypher.Batch]) -> Counter[str]:
    done: Counter[str] = Counter()
    for statement, rows in batches:
        for first in range(0, len(rows), BATCH_ROWS):
            counters = transaction.run(statement, rows=rows[first : first + BATCH_ROWS]).consume().counters
            for name in ("nodes_created", "relationships_created", "relationships_deleted"):
                done[name] += getattr(counters, name)
    return done


def _edge_at(project: str, near: End, row: dict[str, Any]) -> Edge:
    far = (row["label"], row["key"])
    source, target = (near, far) if row["is_out"] else (far, near)
    return Edge(project, source, row["relation"], target, row["properties"])


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
