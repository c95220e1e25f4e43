"""The list of a project's links: one suite over SQLite and the real Neo4j."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from ltmc_jobs.settings import Settings
from ltmc_jobs.stores import open_store
from ltmc_jobs.stores.contracts import Edge, Graph
from ltmc_jobs.stores.contracts.transfer import EdgeList
from tests.bolt import Bolt
from tests.conftest import MakeSettings

NAMES = ("a", "b", "c")


@pytest.fixture(params=["sqlite", "neo4j"])
def settings(request: pytest.FixtureRequest, make_settings: MakeSettings) -> Iterator[Settings]:
    if request.param == "sqlite":
        yield make_settings()
        return
    bolt: Bolt = request.getfixturevalue("neo4j_server")
    yield make_settings(NEO4J_URI=bolt.uri, NEO4J_PASSWORD=bolt.password)


def test_links_are_listed_page_by_page(settings: Settings) -> None:
    """Between documents and entities alone, of this project, without what a text itself gives, in one order."""
    project = f"p-{uuid.uuid4().hex}"
    wanted = [
        Edge(project, ("Document", source), "RELATED", ("Entity", target), {"strength": 0.5, "name": "is related to"})
        for source in NAMES
        for target in NAMES
    ]
    others = [
        Edge(project, ("Document", "a"), "HAS_CHUNK", ("Chunk", "1")),
        Edge(project, ("Document", "a"), "MENTIONS", ("Entity", "a"), {"source": "text"}),
        Edge(f"{project}-other", ("Document", "a"), "RELATED", ("Entity", "a")),
    ]
    graph, edges = open_store(Graph, settings), open_store(EdgeList, settings)
    graph.merge([], [*reversed(wanted), *others])
    assert edges.total(project) == 9
    assert edges.page(project, offset=0, limit=100) == wanted
    pages = [edges.page(project, offset=offset, limit=4) for offset in (0, 4, 8, 12)]
    assert [edge for page in pages for edge in page] == wanted
    edges.close()
    graph.close()
