"""The links of a project, one after the other, from a Neo4j."""

from __future__ import annotations

from typing import Any

from ltmc_jobs.settings import Settings
from ltmc_jobs.stores.contracts import Edge
from ltmc_jobs.stores.graph_copy import Neo4jSession

_MATCH = """
    MATCH (s {project: $project})-[e]->(t)
    WHERE labels(s)[0] IN ['Document', 'Entity'] AND labels(t)[0] IN ['Document', 'Entity']
      AND coalesce(e.source, '') <> 'text'
"""
_PAGE = f"""
    {_MATCH}
    RETURN labels(s)[0] AS source_label, s.key AS source, type(e) AS relation, labels(t)[0] AS target_label,
           t.key AS target, properties(e) AS properties
    ORDER BY source_label, source, relation, target_label, target SKIP $offset LIMIT $limit
"""


class Neo4jEdgeList:
    """The links in the server that the settings name; a connection for each call."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def page(self, project: str, *, offset: int, limit: int) -> list[Edge]:
        """Links by source, relation and target."""
        rows = self._read(_PAGE, project=project, offset=offset, limit=limit)
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

    def total(self, project: str) -> int:
        """How many there are."""
        return int(self._read(f"{_MATCH} RETURN count(e) AS total", project=project)[0]["total"])

    def close(self) -> None:
        """Nothing stays open."""

    def _read(self, statement: str, **values: Any) -> list[dict[str, Any]]:
        with Neo4jSession(self._settings) as session:
            return session.run(statement, **values).data()


def from_settings(settings: Settings) -> Neo4jEdgeList:
    """The graph in the server that GRAPH_URL or NEO4J_URI names."""
    return Neo4jEdgeList(settings)
