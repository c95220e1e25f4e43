"""The graph in SQLite: nodes, and edges with an index for each direction. Takes the records' file or one of its own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from ltmc_jobs.settings import Settings
from ltmc_jobs.stores.contracts import Direction, Edge, End, Merged, Node, check_graph_name
from ltmc_jobs.stores.sqlite_file import SqliteFile

_MAKE_NODE = "INSERT INTO graph_nodes (project, label, key) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
_MAKE_EDGE = """
    INSERT INTO graph_edges (project, source_label, source_key, relation, target_label, target_key)
    VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
"""
# A merge patch: named properties replace the old ones, null removes one, the others stay.
_SET_NODE = """
    UPDATE graph_nodes SET properties = json_patch(properties, ?4) WHERE project = ?1 AND label = ?2 AND key = ?3
"""
_SET_EDGE = """
    UPDATE graph_edges SET properties = json_patch(properties, ?7)
    WHERE project = ?1 AND source_label = ?2 AND source_key = ?3 AND relation = ?4 AND target_label = ?5
      AND target_key = ?6
"""
_UNLINK = """
    DELETE FROM graph_edges WHERE project = ? AND source_label = ? AND source_key = ? AND relation = ?
    AND target_label = ? AND target_key = ?
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
# One node in one direction: in the order of the index, so that a hub costs no more than what is taken of it.
_AROUND = """
    SELECT relation, {far}_label, {far}_key, properties FROM graph_edges
    WHERE project = :project AND {near}_label = :label AND {near}_key = :key
      AND (:relations IS NULL OR relation IN (SELECT value FROM json_each(:relations)))
      AND relation NOT IN (SELECT value FROM json_each(:without))
      AND (:far_label IS NULL OR {far}_label = :far_label)
    ORDER BY relation, {far}_label, {far}_key LIMIT :fan_out
"""
_OUT, _IN = _AROUND.format(near="source", far="target"), _AROUND.format(near="target", far="source")


class SqliteGraph:
    """The graph of one installation. Open it after forking; threads may share it."""

    def __init__(self, path: Path) -> None:
        self._file = SqliteFile(path)

    def merge(self, nodes: Sequence[Node], edges: Sequence[Edge]) -> Merged:
        """Create or update nodes and edges in one transaction."""
        ends = {(node.project, node.label, node.key) for node in nodes}
        ends.update((edge.project, *end) for edge in edges for end in (edge.source, edge.target))
        with self._file.writing() as database:
            run = database.conn.executemany
            made = run(_MAKE_NODE, ends).rowcount, run(_MAKE_EDGE, map(_identity, edges)).rowcount
            run(_SET_NODE, ((n.project, n.label, n.key, _json(n.properties)) for n in nodes if n.properties))
            run(_SET_EDGE, ((*_identity(e), _json(e.properties)) for e in edges if e.properties))
        return Merged(*(max(count, 0) for count in made))  # -1: there was nothing to run

    def unlink(self, edges: Sequence[Edge]) -> int:
        """Remove these edges in one transaction; how many were there."""
        with self._file.writing() as database:
            return max(database.conn.executemany(_UNLINK, map(_identity, edges)).rowcount, 0)

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
        """The edges at each of these nodes, at most `fan_out` of each, by relation and far end."""
        for name in (*(label for label, _ in ends), *(relations or ()), *without):
            check_graph_name(name)
        asked = {
            "project": project,
            "relations": None if relations is None else _json(list(relations)),
            "without": _json(list(without)),
            "far_label": far_label,
            "fan_out": max(fan_out, 0),
        }
        found: dict[End, list[Edge]] = {}
        with self._file.reading() as database:
            for end in dict.fromkeys(ends):
                rows: list[tuple[str, End, bool, str]] = []
                for statement, is_in in ((_OUT, False), (_IN, True)):
                    if direction == "both" or (direction == "in") == is_in:
                        near = asked | {"label": end[0], "key": end[1]}
                        rows += [
                            (relation, (label, key), is_in, properties)
                            for relation, label, key, properties in database.execute(statement, near)
                            if not (is_in and direction == "both" and (label, key) == end)
                        ]
                if at := [_edge(project, end, row) for row in sorted(rows)[: max(fan_out, 0)]]:
                    found[end] = at
        return found

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


def _identity(edge: Edge) -> tuple[str, ...]:
    return (edge.project, *edge.source, edge.relation, *edge.target)


def _edge(project: str, near: End, row: tuple[str, End, bool, str]) -> Edge:
    relation, far, is_in, properties = row
    source, target = (far, near) if is_in else (near, far)
    return Edge(project, source, relation, target, json.loads(properties))
