"""The links of a project, one after the other, from the graph in the records' SQLite file."""

from __future__ import annotations

import json
from pathlib import Path

from ltmc_jobs.settings import Settings
from ltmc_jobs.stores.contracts import Edge
from ltmc_jobs.stores.sqlite_file import SqliteFile

_WHERE = """
    FROM graph_edges WHERE project = :project
    AND source_label IN ('Document', 'Entity') AND target_label IN ('Document', 'Entity')
    AND coalesce(json_extract(properties, '$.source'), '') <> 'text'
"""
_PAGE = f"""
    SELECT source_label, source_key, relation, target_label, target_key, properties {_WHERE}
    ORDER BY 1, 2, 3, 4, 5 LIMIT :limit OFFSET :offset
"""


class SqliteEdgeList:
    """The links of one installation. Open it after forking; threads may share it."""

    def __init__(self, path: Path) -> None:
        self._file = SqliteFile(path)

    def page(self, project: str, *, offset: int, limit: int) -> list[Edge]:
        """Links by source, relation and target."""
        with self._file.reading() as database:
            rows = database.execute(_PAGE, {"project": project, "offset": offset, "limit": limit})
            return [Edge(project, (row[0], row[1]), row[2], (row[3], row[4]), json.loads(row[5])) for row in rows]

    def total(self, project: str) -> int:
        """How many there are."""
        with self._file.reading() as database:
            return int(database.execute(f"SELECT count(*) {_WHERE}", {"project": project}).fetchone()[0])

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def from_settings(settings: Settings) -> SqliteEdgeList:
    """The graph beside the records."""
    return SqliteEdgeList(settings.records_file)
