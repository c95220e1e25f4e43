"""The context tools: never too long, links that hold, numbers that are true."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltmc_jobs.errors import InvalidArguments, NotFound
from ltmc_jobs.jobs import LINK_MESSAGES
from ltmc_jobs.llm import minilm
from ltmc_jobs.memory.context import build, count_tokens
from ltmc_jobs.queues.contract import ANYONE
from ltmc_jobs.queues.envelope import Call
from ltmc_jobs.services import Services
from tests.tools.calling import Caller, services_without_redis
from workers.jobs.graph import link_messages


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    with services_without_redis(tmp_path_factory.mktemp("context")) as opened:
        yield opened


@pytest.fixture
def call(services: Services) -> Caller:
    """In a project of the test's own."""
    return Caller(services, f"p-{uuid.uuid4().hex}")


def document(content: str, score: float | None = None, **more: Any) -> dict[str, Any]:
    return {"content": content, "score": score} | more


def test_the_best_come_first_and_what_does_not_fit_is_passed_over(call: Caller) -> None:
    """A11: an oversized document stops nothing; what is in, what is out, and the tokens are told."""
    documents = [
        document("The harbour opens in March.", 0.2, title="Harbour"),
        document("word " * 200, 0.9, title="Too long"),
        document("Basalt is a dark stone.", 0.5, file_name="stones.md"),
        document("Kelp grows in cold water."),
        document("  \n ", 0.8, title="Blank"),
    ]
    built = call("build_context", documents=documents, max_tokens=100)
    assert built["context"] == (
        "# stones.md\nBasalt is a dark stone.\n\n# Harbour\nThe harbour opens in March.\n\nKelp grows in cold water."
    )
    assert (built["documents_processed"], built["documents_included"], built["documents_truncated"]) == (5, 3, 1)
    assert built["left_out"] == [1]
    assert (built["max_tokens"], built["token_counter"]) == (100, "all-MiniLM-L6-v2")
    assert built["token_count"] == len(minilm.tokenizer().encode(built["context"], add_special_tokens=False).ids)
    assert call("build_context", documents=documents, max_tokens=100) == built
    huge = call("build_context", documents=[document("second", -(10**400)), document("first", 10**400)])
    assert huge["context"] == "first\n\nsecond"
    nothing = call("build_context", documents=[])
    assert (nothing["context"], nothing["token_count"], nothing["max_tokens"]) == ("", 0, 4000)


def test_an_endless_word_is_no_single_token(call: Caller) -> None:
    """A11: though the tokenizer makes one of it; ordinary text counts as the tokenizer does."""
    built = call("build_context", documents=[document("QUJD" * 500, 1), document("Basalt.", 0)], max_tokens=100)
    assert (built["context"], built["left_out"]) == ("Basalt.", [0])
    assert count_tokens("QUJD" * 500) == 501
    assert count_tokens("Basalt 😀😀 漢字.") == len(
        minilm.tokenizer().encode("Basalt 😀😀 漢字.", add_special_tokens=False)
    )


PIECE = st.text(st.sampled_from("ab éÉ\u0301\n\t.#[]CLSEP漢😀\x00\u200b"), max_size=30) | st.just("UNK" * 40)
DOCUMENTS = st.lists(
    st.builds(
        lambda content, title, score: document(content, score, title=title),
        PIECE,
        st.none() | PIECE,
        st.none() | st.sampled_from([0.1, 0.5, 1.0]),
    ),
    max_size=8,
)


@settings(max_examples=150, deadline=None)
@given(documents=DOCUMENTS, limit=st.integers(0, 60))
def test_a_context_is_never_too_long(documents: list[dict[str, Any]], limit: int) -> None:
    """A11: whatever the documents, by a count of the whole; the same arguments, the same text; no room is wasted."""
    built = build(documents, limit)
    assert built == build(documents, limit)
    assert built.token_count == count_tokens(built.context) <= limit
    said = [place for place, one in enumerate(documents) if one["content"].strip()]
    assert built.documents_included + built.documents_truncated == len(said)
    for place in built.left_out:
        alone = build([documents[place]], 10_000).token_count
        better = [documents[n] for n in said if _before(documents, n, place) and n not in built.left_out]
        assert build(better, 10_000).token_count + alone > limit


def _before(documents: list[dict[str, Any]], one: int, other: int) -> bool:
    return (-(documents[one]["score"] or 0), one) < (-(documents[other]["score"] or 0), other)


@pytest.mark.parametrize(
    ("field", "odd"),
    [
        ("documents", None),
        ("documents", {}),
        ("documents.0", "text"),
        ("documents.0", {"title": "no content"}),
        ("documents.0.content", {"content": 7}),
        ("documents.0.score", {"content": "x", "score": "high"}),
        ("documents.0.score", {"content": "x", "score": True}),
        ("max_tokens", 99),
        ("max_tokens", 32_001),
    ],
)
def test_odd_documents_are_named(call: Caller, field: str, odd: Any) -> None:
    """A11: which one, and what is wrong with it."""
    arguments = (
        {"documents": [odd] if field.startswith("documents.") else odd} if "doc" in field else {"max_tokens": odd}
    )
    with pytest.raises(InvalidArguments) as raised:
        call("build_context", **{"documents": [], **arguments})
    assert raised.value.details["field"] in (field, f"{field}.content")


def test_links_are_kept_and_read_from_both_ends(call: Caller) -> None:
    """A13, A14, A15, A16: a message by its number or its digits, chunks by their ids; under the older names too."""
    ((one,), (two,)) = (
        call("store_memory", file_name=name, content=content)["vector_ids"]
        for name, content in (("a.md", "Basalt is a stone."), ("b.md", "Kelp is a plant."))
    )
    message = call("log_chat", conversation_id="c", content="What is basalt?")["message_id"]
    stored = call("store_context_links", message_id=message, chunk_ids=[one, two], job_id="a")
    assert stored == {"message_id": message, "links_created": 2, "links_existing": 0}
    assert call("store_context_links", message_id=message, chunk_ids=[one, two], job_id="a") == stored
    again = call("store_context_links_tool", message_id=str(message), chunk_ids=[two, one, one])
    assert again == {"message_id": message, "links_created": 0, "links_existing": 2}
    for number in (message, str(message), float(message)):
        found = call("get_context_links_for_message_tool", message_id=number)
        assert [(link["chunk_id"], link["content"]) for link in found["links"]] == [
            (one, "Basalt is a stone."),
            (two, "Kelp is a plant."),
        ]
        assert (found["message_id"], found["count"], found["total"]) == (message, 2, 2)
    found = call("get_messages_for_chunk_tool", chunk_id=two, limit=1)
    assert [(said["message_id"], said["content"]) for said in found["messages"]] == [(message, "What is basalt?")]
    statistics = call("get_context_usage_statistics_tool")["statistics"]
    assert statistics == {
        "total_context_links": 2,
        "unique_messages": 1,
        "unique_chunks_used": 2,
        "average_links_per_message": 2.0,
        "most_used_chunks": [{"chunk_id": one, "usage_count": 1}, {"chunk_id": two, "usage_count": 1}],
    }


def link(call: Caller, message: int) -> dict[str, Any]:
    """Run the job that follows."""
    current = Call(str(uuid.uuid4()), LINK_MESSAGES, {}, call.project, ANYONE, "trace", None)
    return link_messages(Services(call.services.shared, call.services.tiers, current), [message])


def test_what_a_message_used_is_in_the_graph(call: Caller) -> None:
    """M06: REFERENCES from a message to each chunk that it used; again nothing changes, and what is gone leaves it."""
    texts = (("a.md", "Basalt is a stone."), ("b.md", "Kelp is a plant."))
    one, two = (call("store_memory", file_name=name, content=text)["vector_ids"][0] for name, text in texts)
    message = call("log_chat", conversation_id="c", content="What is basalt?")["message_id"]
    assert link(call, message)["linked"] == link(Caller(call.services, "another"), message)["linked"] == 0
    assert call("query_graph", entity=f"message:{message}")["found"] is False
    call("store_context_links", message_id=message, chunk_ids=[one, two])
    for _ in range(2):
        assert link(call, message)["linked"] == 1
        found = call("query_graph", entity=f"message:{message}")["relationships"]
        assert [(each["relationship_type"], each["target_id"]) for each in found] == [
            ("REFERENCES", f"chunk:{chunk}") for chunk in (one, two)
        ]
    from_chunk = call("query_graph", entity=f"chunk:{two}", relation_type="references")["relationships"]
    assert [each["source_id"] for each in from_chunk] == [f"message:{message}"]
    call("forget_memory", file_name="b.md")
    assert [each["target_id"] for each in call("query_graph", entity=f"message:{message}")["relationships"]] == [
        f"chunk:{one}"
    ]
    assert call("forget_memory", conversation_id="c")["nodes"] == 1
    assert call("query_graph", entity=f"message:{message}")["found"] is False


def test_what_is_unknown_is_listed(call: Caller) -> None:
    """A13, A14, A15: by id, whichever end lacks; and nothing is linked."""
    message = call("log_chat", conversation_id="c", content="x")["message_id"]
    with pytest.raises(NotFound) as raised:
        call("store_context_links", message_id=message, chunk_ids=[10**9, 10**9 + 1])
    assert raised.value.details == {"chunk_ids": [10**9, 10**9 + 1]}
    assert call("get_context_links_for_message", message_id=message)["links"] == []
    for name, arguments in (
        ("get_context_links_for_message", {"message_id": "999999999999999999"}),
        ("get_messages_for_chunk", {"chunk_id": 2**63 - 1}),
    ):
        with pytest.raises(NotFound, match="does not exist"):
            call(name, **arguments)


@pytest.mark.parametrize("odd", [0, -1, 2**63, "0", "-1", "1.5", "", "abc", "1" * 19, 1.5, None, True, [1]])
def test_odd_ids_are_named(call: Caller, odd: Any) -> None:
    """A13: a message id is a whole number above zero, or its digits."""
    with pytest.raises(InvalidArguments) as raised:
        call("store_context_links", message_id=odd, chunk_ids=[])
    assert raised.value.details == {"field": "message_id"}
    with pytest.raises(InvalidArguments) as raised:
        call("store_context_links", message_id=1, chunk_ids=[odd])
    assert raised.value.details["field"] == "chunk_ids.0"
