"""The graph tools: the same answers on the embedded graph and on Neo4j."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from ltmc_jobs import registry
from ltmc_jobs.errors import InvalidArguments, NotFound
from ltmc_jobs.queues.contract import new_job_id
from ltmc_jobs.services import Services
from ltmc_jobs.stores.contracts import ChunkText, Document
from tests.bolt import Bolt
from tests.tools.calling import Caller, services_without_redis
from workers.jobs.graph import link_versions


@pytest.fixture(scope="module", params=["sqlite", "neo4j"])
def services(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    variables = {}
    if request.param == "neo4j":
        bolt: Bolt = request.getfixturevalue("neo4j_server")
        variables = {"NEO4J_URI": bolt.uri, "NEO4J_PASSWORD": bolt.password}
    with services_without_redis(tmp_path_factory.mktemp("graph"), **variables) as opened:
        yield opened


@pytest.fixture
def call(services: Services) -> Caller:
    """In a project of the test's own."""
    return Caller(services, f"p-{uuid.uuid4().hex}")


def store(call: Caller, name: str, *texts: str, link: bool = True, **more: Any) -> int:
    """Store a document, one chunk a text, embedded and linked; its id."""
    tiers = call.services.tiers
    starts = [sum(map(len, texts[:at])) for at in range(len(texts))]
    chunks = [ChunkText(text, at, at + len(text)) for text, at in zip(texts, starts, strict=True)]
    document = Document(project=call.project, file_name=name, content="".join(texts), **more)
    version = tiers.records.record(document, chunks, job_id=new_job_id())
    vectors = zip(version.chunk_ids, tiers.embedder.encode(texts), strict=True)
    tiers.records.add_vectors(list(vectors), model=tiers.model)
    assert tiers.records.publish(version.resource_id, version.version)
    if link:
        link_versions(call.services, [[version.resource_id, version.version]])
    return version.resource_id


def shown(answer: dict[str, Any]) -> list[str]:
    """Each link of an answer as one line."""
    return [f"{one['source_id']} {one['relationship_type']} {one['target_id']}" for one in answer["relationships"]]


def test_linking_makes_what_is_not_there_and_is_done_once(call: Caller) -> None:
    """A17: both nodes are made if needed, again changes nothing, a document keeps its properties; no Neo4j needed."""
    number = store(call, "plan.md", "The harbour opens in March.")
    before = call.services.tiers.graph.nodes(call.project, "Document", ["plan.md"])
    first = call("link_resources", source_id="plan.md", target_id="Ada", relation="written by")
    assert first == {
        "relationship_created": True,
        "source_id": "plan.md",
        "target_id": "Ada",
        "relationship_type": "written by",
        "source": {"kind": "document", "name": "plan.md"},
        "target": {"kind": "entity", "name": "Ada"},
    }
    counts = call.services.tiers.graph.count()
    for relation in ("written by", "Written-By", "WRITTEN_BY"):
        again = call("link_resources", source_id=number, target_id="Ada", relation=relation)
        assert again["relationship_created"] is False
    assert call.services.tiers.graph.count() == counts
    assert call.services.tiers.graph.nodes(call.project, "Document", ["plan.md"]) == before
    (found,) = call("query_graph", entity="Ada")["relationships"]
    assert (found["source_id"], found["relationship_type"], found["target_kind"]) == ("plan.md", "WRITTEN_BY", "entity")
    assert found["properties"] == {"source": "caller"}
    call("link_resources", source_id="plan.md", target_id="Ada", relationship_type="written by", strength=0.5)
    (found,) = call("query_graph", query="Ada")["relationships"]
    assert (found["relationship_type"], found["properties"]) == ("written by", {"source": "caller", "strength": 0.5})


def test_words_of_any_kind_name_a_relation(call: Caller) -> None:
    """A17, A18: the caller's words come back as given, and find the link in any case; signs count."""
    words = ["depends_on", "依存する", "C++", "C", "2nd of", "größer als", "→"]
    for word in words:
        assert call("link_resources", source_id="a", target_id="b", relation=word)["relationship_created"]
    assert sorted(one["relationship_type"] for one in call("query_graph", entity="a")["relationships"]) == sorted(words)
    for word in [*words, "Depends On", "c", "GRÖSSER-ALS"]:
        assert call("query_graph", entity="b", relation_type=word)["count"] == 1
    several = call("query_graph", entity="a", relationship_types=["C", "→", "unknown"])
    assert sorted(shown(several)) == ["a C b", "a → b"]
    with pytest.raises(InvalidArguments, match="needs a word"):
        call("link_resources", source_id="a", target_id="b", relation=" - _")


def test_links_are_followed_in_a_direction_to_a_depth(call: Caller) -> None:
    """A18: relation filter, direction, depth 1 to 5, circles; nearest first, each with its path, cut where asked."""
    for source, relation, target in [("a", "r", "b"), ("b", "r", "c"), ("c", "r", "a"), ("d", "s", "a")]:
        call("link_resources", source_id=source, target_id=target, relation=relation)
    assert shown(call("query_graph", entity="a")) == ["a r b", "c r a", "d s a"]
    assert shown(call("query_graph", entity="a", direction="out")) == ["a r b"]
    assert shown(call("query_graph", entity="a", direction="in", relation_type=["s"])) == ["d s a"]
    far = call("query_graph", entity="a", direction="out", depth=5)
    assert [(one["depth"], one["path"], one["path_relations"]) for one in far["relationships"]] == [
        (1, ["a", "b"], ["r"]), (2, ["a", "b", "c"], ["r", "r"]), (3, ["a", "b", "c", "a"], ["r", "r", "r"]),
    ]  # fmt: skip
    assert (far["count"], far["truncated"], far["found"]) == (3, False, True)
    cut = call("query_graph", entity="a", depth=5, limit=2)
    assert (cut["count"], cut["truncated"]) == (2, True)
    nobody = call("query_graph", entity="nobody")
    assert (nobody["count"], nobody["found"], nobody["entity"]) == (0, False, {"kind": "entity", "name": "nobody"})
    for wrong in ({"depth": 6}, {"depth": 0}, {"direction": "up"}, {"limit": 0}, {"relation_type": []}):
        with pytest.raises(InvalidArguments):
            call("query_graph", entity="a", **wrong)


def test_a_documents_relationships_have_their_paths(call: Caller) -> None:
    """A20: max_depth is honoured, each result has its path, chunks are shown when asked for; unknown is not found."""
    number = store(call, "a.md", "Basalt is a dark stone.", "Kelp grows in cold water.")
    call("link_resources", source_id="a.md", target_id="b", relation="cites")
    call("link_resources", source_id="b", target_id="c", relation="cites")
    call("link_resources", source_id="c", target_id="d", relation="cites")
    for depth, reached in ((1, ["b"]), (2, ["b", "c"]), (3, ["b", "c", "d"])):
        answer = call("get_document_relationships", doc_id="a.md", max_depth=depth)
        assert [one["path"][-1] for one in answer["relationships"]] == reached
        assert all(one["path"][0] == "a.md" and len(one["path"]) == one["depth"] + 1 for one in answer["relationships"])
    by_number = call("get_document_relationships_tool", document_id=str(number))
    assert by_number == call("get_document_relationships", doc_id=number)
    assert (by_number["count"], by_number["entity"]) == (2, {"kind": "document", "name": "a.md"})
    with_chunks = call("get_document_relationships", doc_id="a.md", include_chunks=True, max_depth=1)
    chunks = [one["target_id"] for one in with_chunks["relationships"] if one["target_kind"] == "chunk"]
    assert len(chunks) == 2
    assert shown(call("query_graph", entity=chunks[0])) == [f"a.md HAS_CHUNK {chunks[0]}"]
    assert call("query_graph", entity="a.md", relation_type="has chunk")["count"] == 2
    for unknown in ("nobody.md", "b", 999_999_999):
        with pytest.raises(NotFound):
            call("get_document_relationships", doc_id=unknown)
    store(call, "alone.md", "Nothing is linked to this.")
    assert call("get_document_relationships", doc_id="alone.md")["relationships"] == []


def test_a_stored_text_is_linked_to_what_it_names(call: Caller) -> None:
    """M06, M07: documents by name, whichever was stored first; people, issues; a new version's own and no more."""
    store(call, "b.md", "The roof is blue.")
    store(call, "a.md", "See b.md and later.md, says @ada in #42: https://example.com/x.")
    named = sorted(shown(call("query_graph", entity="a.md")))
    assert named == [f"a.md MENTIONS {name}" for name in ("#42", "@ada", "b.md", "https://example.com/x", "later.md")]
    call("link_resources", source_id="later.md", target_id="Ada", relation="written by")
    store(call, "later.md", "Now it is here.")
    answer = call("get_document_relationships", doc_id="later.md", max_depth=1)
    assert sorted(shown(answer)) == ["a.md MENTIONS later.md", "later.md written by Ada"]
    assert {one["target_kind"] for one in answer["relationships"]} == {"document", "entity"}
    call("link_resources", source_id="a.md", target_id="#42", relation="solves")
    call("link_resources", source_id="a.md", target_id="@ada", relation="mentions")
    for text in ("Ask @ada.", "See b.md, says @bob."):
        store(call, "a.md", text)
    assert sorted(shown(call("query_graph", entity="a.md"))) == [
        "a.md MENTIONS @bob", "a.md MENTIONS b.md", "a.md mentions @ada", "a.md solves #42",
    ]  # fmt: skip
    assert len(call("query_graph", entity="a.md", relation_type="HAS_CHUNK")["relationships"]) == 1


def test_a_conversations_documents_follow_each_other(call: Caller) -> None:
    """M06: NEXT from each document of a conversation to the one after it, in whatever order they are linked."""
    numbers = [store(call, f"{n}.txt", f"Turn {n}.", link=False, conversation_id="c") for n in range(4)]
    store(call, "other.txt", "Not of it.", conversation_id="d")
    for n in (2, 0, 3, 1):
        link_versions(call.services, [[numbers[n], 1]])
    chain = call("query_graph", entity="0.txt", relation_type="next", direction="out", depth=5)
    assert shown(chain) == [f"{n}.txt NEXT {n + 1}.txt" for n in range(3)]
    link_versions(call.services, [[number, 1] for number in numbers])
    assert call("query_graph", entity="0.txt", relation_type="next", depth=5) == call(
        "query_graph", entity="0.txt", relation_type="NEXT", depth=5
    )
    assert call("query_graph", entity="other.txt")["count"] == 0


def test_every_older_name_is_taken(call: Caller) -> None:
    """A17, A18, A19, A20: the older names of arguments and of the tool."""
    assert registry.find("get_document_relationships_tool") is registry.find("get_document_relationships")
    aliases = {name: registry.find(name).form.aliases for name in ("link_resources", "query_graph")}
    assert aliases["link_resources"] == {"relationship_type": "relation"}
    assert aliases["query_graph"]["query"] == "entity"
