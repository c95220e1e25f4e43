"""The statements of the graph in Cypher, and rows in batches for them.

Labels and relations cannot be parameters in Cypher: they stand in the statements, checked. Everything else is one.
A relation is a relationship type, so that following some of them touches no other; none is looked up by a property.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from ltmc_jobs.stores.contracts import Edge, Node, check_graph_name

Batch = tuple[str, list[dict[str, Any]]]  # a statement and its rows

CONSTRAINT = """
    CREATE CONSTRAINT `ltmc_{label}` IF NOT EXISTS FOR (n:`{label}`) REQUIRE (n.project, n.key) IS UNIQUE
"""
MERGE_NODES = """
    UNWIND $rows AS row MERGE (n:`{label}` {{project: row.project, key: row.key}}) SET n += row.properties
"""
# The nodes are there by then: merging them here too would have the server hold every row back twice.
MERGE_EDGES = """
    UNWIND $rows AS row
    MATCH (s:`{source}` {{project: row.project, key: row.source}})
    MATCH (t:`{target}` {{project: row.project, key: row.target}})
    MERGE (s)-[e:`{relation}`]->(t) SET e += row.properties
"""
UNLINK = """
    UNWIND $rows AS row
    MATCH (s:`{source}` {{project: row.project, key: row.source}})
    MATCH (s)-[e:`{relation}`]->(t:`{target}` {{project: row.project, key: row.target}})
    DELETE e
"""
REMOVE = "MATCH (n:`{label}` {{project: $project}}) WHERE n.key IN $keys DETACH DELETE n"
NODES = """
    MATCH (n:`{label}` {{project: $project}}) WHERE n.key IN $keys
    RETURN n.key AS key, properties(n) AS properties ORDER BY key
"""
AROUND = """
    MATCH (n:`{label}` {{project: $project}}){pattern}(m)
    WHERE n.key IN $keys AND NOT type(e) IN $without AND m.project = $project AND m.key IS NOT NULL
          AND ($far_label IS NULL OR labels(m)[0] = $far_label)
    WITH DISTINCT n.key AS near, e, type(e) AS relation, labels(m)[0] AS label, m.key AS key, startNode(e) = n AS is_out
    ORDER BY near, relation, label, key, is_out DESC
    WITH near, collect({{relation: relation, label: label, key: key, is_out: is_out, properties: properties(e)}}) AS e
    RETURN near, e[..$fan_out] AS edges
"""
PATTERNS = {"out": "-[e{types}]->", "in": "<-[e{types}]-", "both": "-[e{types}]-"}
COUNT = """
    MATCH (n) WHERE n.project IS NOT NULL AND n.key IS NOT NULL
    WITH count(n) AS nodes OPTIONAL MATCH (s)-[e]->() WHERE s.project IS NOT NULL AND s.key IS NOT NULL
    RETURN nodes, count(e) AS edges
"""


def named(statement: str, *, pattern: str = "", **names: str) -> str:
    """A statement with its labels and relations in place."""
    for name in names.values():
        check_graph_name(name)
    return statement.format(pattern=pattern, **names)


def node_batches(nodes: Sequence[Node], edges: Sequence[Edge]) -> Iterator[Batch]:
    """Rows for these nodes and for the ends of these edges, a statement a label.

    In the order of their keys: writers that take their locks in one order do not wait for each other in a circle.
    """
    given = {(node.project, node.label, node.key) for node in nodes}
    ends = {(edge.project, *end) for edge in edges for end in (edge.source, edge.target)}
    rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for project, label, key, properties in [
        *((node.project, node.label, node.key, node.properties) for node in nodes),
        *((*end, {}) for end in ends - given),
    ]:
        rows[label].append({"project": project, "key": key, "properties": properties})
    for label, batch in sorted(rows.items()):
        yield named(MERGE_NODES, label=label), sorted(batch, key=lambda row: (row["project"], row["key"]))


def edge_batches(statement: str, edges: Sequence[Edge]) -> Iterator[Batch]:
    """Rows for these edges, a statement for each relation between two labels."""
    rows: dict[tuple[str, str, str], list[dict[str, Any]]] = defaultdict(list)
    for edge in edges:
        row = {"project": edge.project, "source": edge.source[1], "target": edge.target[1]}
        rows[edge.source[0], edge.relation, edge.target[0]].append(row | {"properties": edge.properties})
    for (source, relation, target), batch in sorted(rows.items()):
        made = named(statement, source=source, relation=relation, target=target)
        yield made, sorted(batch, key=lambda row: (row["project"], row["source"], row["target"]))
