"""Links followed: the same edges, paths and order from every backend, whatever the graph looks like."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from neo4j import GraphDatabase, NotificationMinimumSeverity

from ltmc_jobs.errors import InvalidArguments
from ltmc_jobs.memory.walk import FAN_OUT, Walk, walk
from ltmc_jobs.stores import graph_cypher
from ltmc_jobs.stores.contracts import Direction, Edge, End, Graph, Merged, Node
from ltmc_jobs.stores.graph_neo4j import Neo4jGraph
from tests.bolt import Bolt

Link = tuple[End, str, End]
ENDS: list[End] = [("Document", "a"), ("Document", "b"), ("Document", "é"), ("Entity", "a"), ("Entity", "😀")]
RELATIONS = ["CITES", "依存する", "R_2"]
DIRECTIONS: list[Direction] = ["in", "out", "both"]
KEYS = [*{key for _, key in ENDS}, *(f"{n:03}" for n in range(150))]


@pytest.fixture
def project(graph: Graph) -> Iterator[str]:
    name = f"test-{uuid.uuid4().hex}"
    yield name
    clear(graph, name)


def clear(graph: Graph, project: str) -> None:
    for label in ("Document", "Entity"):
        graph.remove(project, label, KEYS)


def edges_of(project: str, links: Sequence[Link], **properties: Any) -> list[Edge]:
    return [Edge(project, source, relation, target, properties) for source, relation, target in links]


def documents(*keys: str) -> list[Link]:
    """A chain of documents."""
    return [(("Document", a), "CITES", ("Document", b)) for a, b in pairwise(keys)]


class Picture:
    """Links in a list, looked through: what every graph is held to."""

    def __init__(self, project: str, links: Sequence[Link]) -> None:
        self._edges = edges_of(project, sorted(set(links)))

    def around(
        self,
        _project: str,
        ends: Sequence[End],
        *,
        relations: Sequence[str] | None = None,
        without: Sequence[str] = (),
        direction: Direction = "both",
        far_label: str | None = None,
        fan_out: int = 100,
    ) -> dict[End, list[Edge]]:
        def at(end: End) -> list[Edge]:
            near = [
                edge
                for edge in self._edges
                if (relations is None or edge.relation in relations)
                and edge.relation not in without
                and far_label in (None, edge.far(end)[0])
                and ((direction != "in" and edge.source == end) or (direction != "out" and edge.target == end))
            ]
            return sorted(near, key=lambda e: (e.relation, e.far(end), e.source != end))[:fan_out]

        return {end: found for end in ends if (found := at(end))}


def reach(project: str, links: Sequence[Link], start: End, depth: int) -> dict[End, int]:
    """How far each node is from the start, both ways, by repeated looking."""
    far = {start: 0}
    for step in range(1, depth + 1):
        for source, _, target in links:
            for near, other in ((source, target), (target, source)):
                if far.get(near) == step - 1:
                    far.setdefault(other, step)
    return far


def test_a_merge_says_what_it_made(graph: Graph, project: str) -> None:
    """M06: new nodes and edges are counted, those that were there are not."""
    links = documents("a", "b", "c")
    assert graph.merge([Node(project, "Document", "a")], edges_of(project, links)) == Merged(3, 2)
    assert graph.merge([], edges_of(project, links, score=0.5)) == Merged(0, 0)
    assert graph.merge([], edges_of(project, documents("c", "d"))) == Merged(1, 1)
    assert graph.merge([], []) == Merged(0, 0)


def test_what_is_unlinked_is_gone_and_the_rest_stays(graph: Graph, project: str) -> None:
    """M06: an edge goes by its ends and relation, whatever its properties; nodes and other edges stay."""
    graph.merge([], edges_of(project, [*documents("a", "b", "c"), (ENDS[0], "R_2", ENDS[1])], score=1.0))
    gone = edges_of(project, documents("a", "b"))
    assert [graph.unlink(gone), graph.unlink(gone), graph.unlink([])] == [1, 0, 0]
    left = graph.around(project, [("Document", "b")])[("Document", "b")]
    assert [edge.relation for edge in left] == ["CITES", "R_2"]
    assert len(graph.nodes(project, "Document", ["a", "b", "c"])) == 3


def test_a_hub_shows_no_more_than_is_asked(graph: Graph, project: str) -> None:
    """M06: each node's edges are bounded by themselves, so that a hub takes no other's place."""
    hub, small = ("Document", "a"), ("Document", "b")
    links = [(hub, "CITES", ("Document", f"{n:03}")) for n in range(150)]
    graph.merge([], edges_of(project, [*links, (small, "CITES", ("Document", "149"))]))
    found = graph.around(project, [hub, small, ("Entity", "nobody")], fan_out=3)
    assert {end: [edge.target[1] for edge in edges] for end, edges in found.items()} == {
        hub: ["000", "001", "002"], small: ["149"],
    }  # fmt: skip
    assert graph.around(project, [hub], fan_out=0) == graph.around(project, [], fan_out=5) == {}
    far = walk(graph, project, small, depth=3, limit=1000)
    assert far.is_cut
    assert len(far.steps) == 2 + FAN_OUT  # both of 149's, and the hub's first hundred, of which none is 149's
    near = walk(graph, project, hub, depth=1, limit=150)
    assert (len(near.steps), near.is_cut) == (150, False)
    assert walk(graph, project, hub, depth=1, limit=149).is_cut


def test_the_other_end_may_be_asked_for(graph: Graph, project: str) -> None:
    """M06: by its label, in either direction; what has another one takes none of the room."""
    here = ("Document", "a")
    links = [(here, "CITES", ("Entity", f"{n:03}")) for n in range(150)]
    graph.merge([], edges_of(project, [*links, (here, "KNOWS", ("Document", "z")), (("Document", "b"), "KNOWS", here)]))
    found = graph.around(project, [here], far_label="Document", fan_out=2)[here]
    assert [edge.far(here)[1] for edge in found] == ["b", "z"]
    assert len(graph.around(project, [here], far_label="Entity", fan_out=200)[here]) == 150
    assert graph.around(project, [here], far_label="Chunk") == {}


def test_every_relation_that_is_taken_can_be_kept(graph: Graph, project: str) -> None:
    """M06: marks and digits of any alphabet too, which Cypher takes between backticks alone."""
    one, other = ("Document", "a"), ("Document", "b")
    for relation in ("M²", "A\u20dd", "MATCH", "É_9"):
        assert graph.merge([], edges_of(project, [(one, relation, other)])).edges == 1
        (kept,) = graph.around(project, [one], relations=[relation])[one]
        assert graph.unlink([kept]) == 1


def test_of_two_alike_the_one_that_leads_out_comes_first(graph: Graph, project: str) -> None:
    """M06: linked both ways by one relation; a node linked to itself shows that once."""
    graph.merge([], edges_of(project, documents("b", "a", "b", "b")))
    near = graph.around(project, [("Document", "a"), ("Document", "b")])
    assert {end[1]: [(e.source[1], e.target[1]) for e in edges] for end, edges in near.items()} == {
        "a": [("a", "b"), ("b", "a")], "b": [("b", "a"), ("a", "b"), ("b", "b")],
    }  # fmt: skip
    assert [e.source[1] for e in graph.around(project, [("Document", "a")], fan_out=1)["Document", "a"]] == ["a"]
    for direction in DIRECTIONS:
        found = graph.around(project, [("Document", "b")], direction=direction)["Document", "b"]
        assert len(found) == (3 if direction == "both" else 2)


def test_a_circle_ends(graph: Graph, project: str) -> None:
    """A18: every edge once, by the shortest path, nearest first; an edge that leads back is shown and not followed."""
    graph.merge([], edges_of(project, [*documents("a", "b", "c", "a"), *documents("c", "c")]))
    found = walk(graph, project, ("Document", "a"), direction="out", depth=5)
    assert [[key for _, key in step.nodes] for step in found.steps] == [
        ["a", "b"], ["a", "b", "c"], ["a", "b", "c", "a"], ["a", "b", "c", "c"],
    ]  # fmt: skip
    back = walk(graph, project, ("Document", "a"), direction="in", depth=2)
    assert [[key for _, key in step.nodes] for step in back.steps] == [["a", "c"], ["a", "c", "b"], ["a", "c", "c"]]
    assert not back.is_cut


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    links=st.lists(st.tuples(st.sampled_from(ENDS), st.sampled_from(RELATIONS), st.sampled_from(ENDS)), max_size=14),
    start=st.sampled_from(ENDS),
    direction=st.sampled_from(DIRECTIONS),
    depth=st.integers(1, 5),
    limit=st.integers(1, 12),
    relations=st.none() | st.lists(st.sampled_from(RELATIONS), max_size=2),
    without=st.lists(st.sampled_from(RELATIONS), max_size=1),
)
def test_any_graph_is_walked_alike(
    graph: Graph,
    links: list[Link],
    start: End,
    direction: Direction,
    depth: int,
    limit: int,
    relations: list[str] | None,
    without: list[str],
) -> None:
    """A18, A20, M06: what a backend answers is what looking through the list of edges answers, paths and order too."""
    project = f"test-{uuid.uuid4().hex}"
    picture = Picture(project, links)
    graph.merge([], edges_of(project, links))
    for fan_out in (2, 100):
        asked: dict[str, Any] = {"relations": relations, "without": without, "direction": direction}
        assert graph.around(project, ENDS, fan_out=fan_out, **asked) == picture.around(
            project, ENDS, fan_out=fan_out, **asked
        )
    found: Walk = walk(graph, project, start, depth=depth, limit=limit, **asked)
    assert found == walk(picture, project, start, depth=depth, limit=limit, **asked)  # type: ignore[arg-type]
    distances = [len(step.edges) for step in found.steps]
    assert distances == sorted(distances)
    everything = walk(graph, project, start, depth=depth, limit=1000)
    far = reach(project, links, start, depth)
    assert {edge.identity for edge in (step.edge for step in everything.steps)} == {
        link for link in links if min(far.get(link[0], 9), far.get(link[2], 9)) < depth
    }
    for step in everything.steps:
        assert len(step.edges) == 1 + min(far.get(end, 9) for end in (step.edge.source, step.edge.target))
        for near, edge, end in zip(step.nodes, step.edges, step.nodes[1:], strict=False):
            assert {near, end} == {edge.source, edge.target}
    clear(graph, project)


def test_relations_of_any_alphabet_and_no_others(graph: Graph, project: str) -> None:
    """M06: letters of any alphabet and digits; nothing that Cypher could read as more than a name."""
    for bad in ("a", "é", "2ND", "_X", "A`B", "A B", "A-B", "A\\u0060", ""):
        with pytest.raises(InvalidArguments):
            graph.around(project, ENDS, relations=[bad])
        with pytest.raises(InvalidArguments):
            graph.around(project, [(bad, "a")])


def test_every_statement_finds_its_nodes_by_the_index(neo4j_server: Bolt) -> None:
    """M06: what is asked for is found by the uniqueness constraint of its label; nothing is scanned."""
    Neo4jGraph(neo4j_server.uri, user="neo4j", password=neo4j_server.password).close()  # declares the constraints
    names = {"label": "Document", "source": "Document", "target": "Chunk", "relation": "CITES"}
    values = {"rows": [], "project": "p", "keys": [], "without": [], "fan_out": 1}
    values["far_label"] = None
    statements = [
        graph_cypher.MERGE_NODES, graph_cypher.MERGE_EDGES, graph_cypher.UNLINK, graph_cypher.REMOVE,
        graph_cypher.NODES, graph_cypher.AROUND,
    ]  # fmt: skip
    off = NotificationMinimumSeverity.OFF
    login = ("neo4j", neo4j_server.password)
    with GraphDatabase.driver(neo4j_server.uri, auth=login, notifications_min_severity=off) as driver:
        for statement in statements:
            used = {name: value for name, value in names.items() if f"{{{name}}}" in statement}
            made = graph_cypher.named(statement, pattern="-[e]-" if "{pattern}" in statement else "", **used)
            operators = list(operators_of(driver.execute_query(f"EXPLAIN {made}", values).summary.plan))
            assert any("NodeUniqueIndexSeek" in operator for operator in operators), statement
            assert not any("Scan" in operator for operator in operators), operators


def operators_of(plan: Any) -> Iterator[str]:
    yield plan["operatorType"]
    for part in plan.get("children", ()):
        yield from operators_of(part)
