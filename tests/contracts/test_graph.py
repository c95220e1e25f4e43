"""Graph: the same nodes, edges and order from every backend."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from ltmc_jobs.errors import InvalidArguments, Misconfigured, StoreUnavailable
from ltmc_jobs.stores import open_store
from ltmc_jobs.stores.contracts import Edge, Graph, Node
from ltmc_jobs.stores.graph_neo4j import Neo4jGraph
from tests.contracts.conftest import Bolt

DOCUMENT = {"title": "Köln 😀", "strength": 0.5, "pages": 3, "draft": False, "tags": ["a", "b"], "empty": []}


@pytest.fixture
def project(graph: Graph) -> Iterator[str]:
    """A project of the test's own, removed at the end: the server may be somebody's."""
    name = f"test-{uuid.uuid4().hex}"
    yield name
    for label in ("Document", "Chunk", "Message", "Code_Pattern"):
        keys = {end[1] for edge in edges_at(graph, name, label, KEYS[:5]) for end in (edge.source, edge.target)}
        graph.remove(name, label, [*keys, *KEYS])


KEYS = ["a", "b", "c", "d", "hub", *(f"{n:04}" for n in range(2500))]


def document(project: str, key: str, **properties: object) -> Node:
    return Node(project, "Document", key, properties)


def related(project: str, source: str, target: str, **properties: object) -> Edge:
    return Edge(project, ("Document", source), "RELATED_TO", ("Document", target), properties)


def edges_at(graph: Graph, project: str, label: str, keys: Sequence[str], **asked: Any) -> list[Edge]:
    """The edges at some nodes, each once, by source, relation and target."""
    found = graph.around(project, [(label, key) for key in keys], fan_out=9999, **asked)
    edges = {edge.identity: edge for at in found.values() for edge in at}
    return [edges[identity] for identity in sorted(edges)]


def test_what_is_merged_comes_back(graph: Graph, project: str) -> None:
    """M06: nodes and edges keep every kind of property."""
    chunk = Edge(project, ("Document", "a"), "HAS_CHUNK", ("Chunk", "1"), DOCUMENT)
    graph.merge([document(project, "a", **DOCUMENT), Node(project, "Chunk", "1")], [chunk])
    assert graph.nodes(project, "Document", ["b", "a"]) == [document(project, "a", **DOCUMENT)]
    assert edges_at(graph, project, "Document", ["a"]) == [chunk]
    assert edges_at(graph, project, "Chunk", ["1"]) == [chunk]
    (found,) = graph.nodes(project, "Document", ["a"])
    assert {name: type(value) for name, value in found.properties.items()} == {
        name: type(value) for name, value in DOCUMENT.items()
    }


def test_merging_again_changes_nothing_and_updates_what_is_named(graph: Graph, project: str) -> None:
    """M06: a merge is idempotent; new properties join the old, None removes one."""
    before = graph.count()
    for _ in range(2):
        graph.merge([document(project, "a", x=1, y=2)], [related(project, "a", "b", strength=0.5)])
    assert {name: n - before[name] for name, n in graph.count().items()} == {"nodes": 2, "edges": 1}
    graph.merge(
        [document(project, "a", y=None, z="3"), document(project, "c", nothing=None)],
        [related(project, "a", "b", strength=0.75, why="words")],
    )
    assert graph.nodes(project, "Document", ["a", "b", "c"]) == [
        document(project, "a", x=1, z="3"), document(project, "b"), document(project, "c"),
    ]  # fmt: skip
    assert edges_at(graph, project, "Document", ["a"]) == [related(project, "a", "b", strength=0.75, why="words")]


def test_edges_come_from_both_directions(graph: Graph, project: str) -> None:
    """M06: every edge at the given nodes, whatever its relation and the letters of its ends."""
    edges = [
        related(project, "b", "a"), related(project, "a", "b"), related(project, "a", "a"),
        related(project, "a", "é"), related(project, "a", "Z"), related(project, "a", "😀"),
        related(project, "a", "\uffee"),
        Edge(project, ("Document", "a"), "HAS_CHUNK", ("Chunk", "a")),
        Edge(project, ("Message", "m"), "REFERENCES", ("Document", "a")),
        related(project, "c", "d"),
    ]  # fmt: skip
    graph.merge([], edges)
    near = [edge for edge in edges if edge.source != ("Document", "c")]
    ordered = sorted(near, key=lambda edge: (edge.source, edge.relation, edge.target))
    found = edges_at(graph, project, "Document", ["a", "b"])
    assert found == ordered
    chunks = edges_at(graph, project, "Document", ["a"], relations=["HAS_CHUNK", "REFERENCES"])
    assert [edge.relation for edge in chunks] == ["HAS_CHUNK", "REFERENCES"]
    assert edges_at(graph, project, "Document", ["a"], relations=[]) == []
    others = [edge for edge in ordered if edge.relation != "HAS_CHUNK"]
    assert edges_at(graph, project, "Document", ["a", "b"], without=["HAS_CHUNK"]) == others
    assert edges_at(graph, project, "Document", ["a"], relations=["HAS_CHUNK"], without=["HAS_CHUNK"]) == []
    assert edges_at(graph, project, "Document", []) == []


def test_projects_do_not_meet(graph: Graph, project: str) -> None:
    """M06: the same key in another project is another node."""
    other = f"{project}-other"
    graph.merge([document(project, "a", of="one"), document(other, "a", of="two")], [related(other, "a", "b")])
    assert edges_at(graph, project, "Document", ["a"]) == []
    graph.remove(other, "Document", ["a", "b"])
    assert graph.nodes(project, "Document", ["a"]) == [document(project, "a", of="one")]
    assert graph.nodes(other, "Document", ["a"]) == []


def test_removing_a_node_takes_its_edges(graph: Graph, project: str) -> None:
    """M06: no edge is left that points to nothing; removing again is harmless."""
    graph.merge([], [related(project, "a", "b"), related(project, "b", "c"), related(project, "c", "a")])
    before = graph.count()
    for _ in range(2):
        graph.remove(project, "Document", ["b", "nobody"])
    assert {name: before[name] - n for name, n in graph.count().items()} == {"nodes": 1, "edges": 2}
    assert edges_at(graph, project, "Document", ["a", "b", "c"]) == [related(project, "c", "a")]


def test_a_large_merge_is_all_or_nothing(graph: Graph, project: str) -> None:
    """M06: thousands in one call arrive; a call of which one row cannot be stored leaves nothing."""
    nodes = [document(project, f"{n:04}", n=n) for n in range(2500)]
    edges = [related(project, "hub", node.key) for node in nodes]
    with pytest.raises((InvalidArguments, StoreUnavailable)):
        graph.merge([*nodes, document(project, "bad", text="\ud800")], edges)
    assert graph.nodes(project, "Document", ["0000", "2499"]) == []
    graph.merge(nodes, edges)
    assert len(edges_at(graph, project, "Document", ["hub"])) == 2500
    assert graph.nodes(project, "Document", ["2499"]) == [nodes[-1]]


def test_two_writers_may_merge_the_same_new_nodes(graph: Graph, project: str) -> None:
    """M06: uniqueness holds when several merge the same keys at once, under a label that was new until now."""
    before, failed = graph.count(), []

    def merge() -> None:
        try:
            for n in range(20):
                edge = Edge(project, ("Code_Pattern", f"{n:04}"), "USES", ("Code_Pattern", "hub"))
                graph.merge([Node(project, "Code_Pattern", f"{n:04}")], [edge])
        except StoreUnavailable as error:
            failed.append(error)

    threads = [threading.Thread(target=merge) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert {name: n - before[name] for name, n in graph.count().items()} == {"nodes": 21, "edges": 20}


def test_names_that_are_no_labels_never_reach_the_store(graph: Graph, project: str) -> None:
    """M06: labels and relations are checked; keys and properties may hold anything."""
    for bad in ("x", "Doc`) DETACH DELETE n //", "", "Document\n"):
        calls: list[Callable[[], object]] = [
            lambda bad=bad: Node(project, bad, "a"),  # type: ignore[misc]
            lambda bad=bad: Edge(project, ("Document", "a"), bad, ("Document", "b")),  # type: ignore[misc]
            lambda bad=bad: graph.around(project, [(bad, "a")]),  # type: ignore[misc]
            lambda bad=bad: graph.around(project, [("Document", "a")], relations=[bad]),  # type: ignore[misc]
            lambda bad=bad: graph.around(project, [("Document", "a")], without=[bad]),  # type: ignore[misc]
            lambda bad=bad: graph.remove(project, bad, ["a"]),  # type: ignore[misc]
            lambda bad=bad: graph.nodes(project, bad, ["a"]),  # type: ignore[misc]
        ]
        for call in calls:
            with pytest.raises(InvalidArguments):
                call()
    graph.merge([Node(project, "Code_Pattern", "'; MATCH (n) DETACH DELETE n //", {"`": "$x"})], [])
    assert graph.nodes(project, "Code_Pattern", ["'; MATCH (n) DETACH DELETE n //"])[0].properties == {"`": "$x"}
    graph.remove(project, "Code_Pattern", ["'; MATCH (n) DETACH DELETE n //"])


@pytest.mark.parametrize("value", [{"a": 1}, [1, "a"], [[1]], [None], float("nan"), 2**63, b"x", object()])
def test_a_property_is_what_a_property_graph_can_hold(value: object) -> None:
    """M06: what one backend could not give back is refused by all."""
    with pytest.raises(InvalidArguments):
        Node("p", "Document", "a", {"x": value})
    with pytest.raises(InvalidArguments):
        related("p", "a", "b", key=1)


def test_a_check_answers(graph: Graph) -> None:
    """M06: a store that can answer passes its check."""
    graph.check()


def test_a_neo4j_that_is_away_is_unavailable_and_keeps_its_secrets(free_port: Callable[[], int]) -> None:
    """M06: neither address nor password is in the error, and the driver is closed."""
    with pytest.raises(StoreUnavailable) as caught:
        Neo4jGraph(f"bolt://127.0.0.1:{free_port()}", user="neo4j", password="a secret")
    assert "127.0.0.1" not in str(caught.value)


def test_a_wrong_password_is_unavailable_and_keeps_its_secrets(neo4j_server: Bolt) -> None:
    """M06: Neo4j's own name of the error is shown, and nothing else."""
    with pytest.raises(StoreUnavailable, match="Unauthorized") as caught:
        Neo4jGraph(neo4j_server.uri, user="neo4j", password="a secret")
    assert "a secret" not in str(caught.value)


def test_a_uri_without_a_password_is_refused(make_settings: Callable[..., object]) -> None:
    """M06: no password has a default."""
    with pytest.raises(Misconfigured, match="NEO4J_PASSWORD"):
        open_store(Graph, make_settings(NEO4J_URI="bolt://127.0.0.1:7687"))  # type: ignore[arg-type]


def test_the_settings_open_neo4j(make_settings: Callable[..., object], neo4j_server: Bolt) -> None:
    """M06: NEO4J_URI and NEO4J_PASSWORD choose the server."""
    settings = make_settings(NEO4J_URI=neo4j_server.uri, NEO4J_PASSWORD=neo4j_server.password)
    graph = open_store(Graph, settings)  # type: ignore[arg-type]
    assert isinstance(graph, Neo4jGraph)
    graph.check()
    graph.close()
    with pytest.raises(StoreUnavailable):
        graph.check()
