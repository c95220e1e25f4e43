"""The graph in SQLite: nodes, and edges with an index for each direction. Takes the records' file or one of its own."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ltmc_jobs.settings import Settings
from ltmc_jobs.stores.contracts import Edge, Node, check_graph_name
from ltmc_jobs.stores.sqlite_file import SqliteFile

# A merge patch: named properties replace the old ones, null removes one, the others stay.
_MERGE_NODE = """
    INSERT INTO graph_nodes (project, label, key, properties) VALUES (?, ?, ?, json_patch('{}', ?4))
    ON CONFLICT DO UPDATE SET properties = json_patch(properties, ?4)
"""
_MAKE_NODE = "INSERT INTO graph_nodes (project, label, key) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
_MERGE_EDGE = """
    INSERT INTO graph_edges (project, source_label, source_key, relation, target_label, target_key, properties)
    VALUES (?, ?, ?, ?, ?, ?, json_patch('{}', ?7))
    ON CONFLICT DO UPDATE SET properties = json_patch(properties, ?7)
"""
_REMOVE = (
    """DELETE FROM graph_edges WHERE project = :project AND source_label = :label
    AND source_key IN (SELECT value FROM json_each(:keys))""",
    """DELETE FROM graph_edges WHERE project = :project AND target_label = :label
    AND target_key IN (SELECT value FROM json_each(:keys))""",
    """DELETE FROM graph_nodes WHERE project = :project AND label = :label
    AND key IN (SELECT value FROM json_each(:keys))""",
)
_NODES = """
    SELECT key, properties FROM graph_nodes WHERE project = :project AND label = :label
    AND key IN (SELECT value FROM json_each(:keys)) ORDER BY key
"""
# Each direction by its own index, and UNION, which drops the second sight of an edge between two of the given nodes.
_NEIGHBOURS = """
    SELECT source_label, source_key, relation, target_label, target_key, properties FROM graph_edges
    WHERE project = :project AND source_label = :label AND source_key IN (SELECT value FROM json_each(:keys))
      AND (:relations IS NULL OR relation IN (SELECT value FROM json_each(:relations)))
      AND relation NOT IN (SELECT value FROM json_each(:without))
    UNION
    SELECT source_label, source_key, relation, target_label, target_key, properties FROM graph_edges
    WHERE project = :project AND target_label = :label AND target_key IN (SELECT value FROM json_each(:keys))
      AND (:relations IS NULL OR relation IN (SELECT value FROM json_each(:relations)))
      AND relation NOT IN (SELECT value FROM json_each(:without))
    ORDER BY 1, 2, 3, 4, 5 LIMIT :limit
"""


class SqliteGraph:
    """The graph of one installation. Open it after forking; threads may share it."""

    def __init__(self, path: Path) -> None:
        self._file = SqliteFile(path)

    def merge(self, nodes: Sequence[Node], edges: Sequence[Edge]) -> None:
        """Create or update nodes and edges in one transaction."""
        with self._file.writing() as database:
            connection = database.conn
            connection.executemany(_MERGE_NODE, ((n.project, n.label, n.key, _json(n.properties)) for n in nodes))
            connection.executemany(_MAKE_NODE, _ends(edges))
            connection.executemany(
                _MERGE_EDGE, ((e.project, *e.source, e.relation, *e.target, _json(e.properties)) for e in edges)
            )

    def remove(self, project: str, label: str, keys: Sequence[str]) -> None:
        """Remove nodes with their edges."""
        check_graph_name(label)
        with self._file.writing() as database:
            for statement in _REMOVE:
                database.execute(statement, {"project": project, "label": label, "keys": _json(list(keys))})

    def nodes(self, project: str, label: str, keys: Sequence[str]) -> list[Node]:
        """The nodes that exist under these keys, by key."""
        check_graph_name(label)
        with self._file.reading() as database:
            found = database.execute(_NODES, {"project": project, "label": label, "keys": _json(list(keys))})
            return [Node(project, label, key, json.loads(properties)) for key, properties in found]

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
        for name in (label, *(relations or ()), *without):
            check_graph_name(name)
        asked = {
            "project": project,
            "label": label,
            "keys": _json(list(keys)),
            "relations": None if relations is None else _json(list(relations)),
            "without": _json(list(without)),
            "limit": max(limit, 0),
        }
        with self._file.reading() as database:
            return [
                Edge(project, (row[0], row[1]), row[2], (row[3], row[4]), json.loads(row[5]))
                for row in database.execute(_NEIGHBOURS, asked)
            ]

    def count(self) -> dict[str, int]:
        """Number of nodes and edges."""
        with self._file.reading() as database:
            counts = "SELECT (SELECT count(*) FROM graph_nodes), (SELECT count(*) FROM graph_edges)"
            return dict(zip(("nodes", "edges"), database.execute(counts).fetchone(), strict=True))

    def check(self) -> None:
        """Raise if the file is gone, unreadable or not ours."""
        self._file.check()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def from_settings(settings: Settings) -> SqliteGraph:
    """The graph beside the records."""
    return SqliteGraph(settings.records_file)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _ends(edges: Iterable[Edge]) -> Iterator[tuple[str, str, str]]:
    for edge in edges:
        yield (edge.project, *edge.source)
        yield (edge.project, *edge.target)
